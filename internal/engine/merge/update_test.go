package merge

import (
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
)

func TestUpdate(t *testing.T) {
	pids := int64(7)
	before := func(mod func(*container.HostConfig)) *container.HostConfig {
		h := &container.HostConfig{Resources: container.Resources{Memory: 100 << 20, MemorySwap: 200 << 20, CPUShares: 512}}
		if mod != nil {
			mod(h)
		}
		return h
	}
	for _, row := range []struct {
		name  string
		mod   func(*container.HostConfig)
		u     container.UpdateConfig
		fails string
		check func(*container.HostConfig) bool
	}{
		{name: "only what is given", u: container.UpdateConfig{Resources: container.Resources{CPUShares: 100, PidsLimit: &pids}},
			check: func(h *container.HostConfig) bool {
				return h.CPUShares == 100 && *h.PidsLimit == 7 && h.Memory == 100<<20
			}},
		{name: "policy", u: container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: "always"}},
			check: func(h *container.HostConfig) bool { return h.RestartPolicy.Name == "always" }},
		{name: "policy of one that goes", mod: func(h *container.HostConfig) { h.AutoRemove = true },
			u: container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: "always"}}, fails: "AutoRemove"},
		{name: "no such policy", u: container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: "sometimes"}}, fails: "sometimes"},
		{name: "above swap", u: container.UpdateConfig{Resources: container.Resources{Memory: 300 << 20}}, fails: "update the memoryswap at the same time"},
		{name: "with swap", u: container.UpdateConfig{Resources: container.Resources{Memory: 300 << 20, MemorySwap: -1}},
			check: func(h *container.HostConfig) bool { return h.Memory == 300<<20 && h.MemorySwap == -1 }},
		{name: "swap below memory", u: container.UpdateConfig{Resources: container.Resources{MemorySwap: 50 << 20}}, fails: "larger than memory limit"},
		{name: "reservation above memory", u: container.UpdateConfig{Resources: container.Resources{MemoryReservation: 150 << 20}}, fails: "reservation"},
		{name: "CPUs and a quota", u: container.UpdateConfig{Resources: container.Resources{NanoCPUs: 1, CPUQuota: 1}}, fails: "Nano CPUs"},
		{name: "CPUs over a quota", mod: func(h *container.HostConfig) { h.CPUQuota = 1 }, u: container.UpdateConfig{Resources: container.Resources{NanoCPUs: 1}}, fails: "Nano CPUs"},
		{name: "a quota over CPUs", mod: func(h *container.HostConfig) { h.NanoCPUs = 1 }, u: container.UpdateConfig{Resources: container.Resources{CPUQuota: 1}}, fails: "NanoCPUs"},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := before(row.mod)
			shares := h.CPUShares
			got, err := Update(h, row.u)
			if row.fails != "" {
				if err == nil || !strings.Contains(err.Error(), row.fails) {
					t.Errorf("%v, want %q", err, row.fails)
				}
				return
			}
			if err != nil || !row.check(got) || h.CPUShares != shares {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
