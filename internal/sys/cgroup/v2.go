package cgroup

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// settingsV2 is what res means for v2; devices are a program, not a file.
func settingsV2(res *specs.LinuxResources) ([]setting, error) {
	var list []setting
	if res.Memory != nil {
		memory, err := memoryV2(res.Memory)
		if err != nil {
			return nil, err
		}
		list = append(list, memory...)
	}
	if res.CPU != nil {
		list = append(list, cpuV2(res.CPU)...)
	}
	if res.Pids != nil && res.Pids.Limit != nil {
		list = append(list, pidsLimit(*res.Pids.Limit))
	}
	if res.BlockIO != nil {
		list = append(list, ioV2(res.BlockIO)...)
	}
	list = append(list, hugepages(res.HugepageLimits, ".max")...)
	for _, file := range slices.Sorted(maps.Keys(res.Unified)) {
		controller, _, ok := strings.Cut(file, ".")
		if !ok || filepath.Base(file) != file || controller == "cgroup" {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unified resource %q is not a controller's file", file))
		}
		for line := range strings.Lines(res.Unified[file]) {
			list = append(list, setting{option: "unified resource", controller: controller, file: file, value: strings.TrimSpace(line)})
		}
	}
	return list, nil
}

func memoryV2(m *specs.LinuxMemory) (list []setting, err error) {
	add := func(option, file, value, discarded string) {
		list = append(list, setting{option: option, controller: "memory", file: file, value: value, discarded: discarded})
	}
	if m.Limit != nil && *m.Limit != 0 {
		add("memory limit", "memory.max", limitOrMax(*m.Limit, "max"), noMemory())
	}
	if m.Swap != nil && *m.Swap != 0 {
		swap, err := swapAlone(*m.Swap, m.Limit)
		if err != nil {
			return nil, err
		}
		add("swap limit", "memory.swap.max", swap, noSwap())
	}
	if m.Reservation != nil && *m.Reservation != 0 {
		add("memory reservation", "memory.low", limitOrMax(*m.Reservation, "max"), noReservation())
	}
	// v2 has neither; the settings only warn.
	if m.Swappiness != nil {
		add("memory swappiness", "memory.swappiness", fmt.Sprint(*m.Swappiness), noSwappiness())
	}
	if m.DisableOOMKiller != nil && *m.DisableOOMKiller {
		add("OOM killer", "memory.oom_control", "1", noOOMDisable)
	}
	return list, nil
}

// swapAlone is what v2 counts: OCI's value is memory and swap together.
func swapAlone(both int64, memory *int64) (string, error) {
	switch {
	case both < 0:
		return "max", nil
	case memory == nil || *memory <= 0:
		return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("a limit of memory and swap (%d) needs a memory limit", both))
	case both < *memory:
		return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the limit of memory and swap (%d) is below the memory limit (%d)", both, *memory))
	}
	return fmt.Sprint(both - *memory), nil
}

const defaultPeriodUsec = 100_000

func cpuV2(c *specs.LinuxCPU) (list []setting) {
	add := func(option, file, value, discarded string) {
		list = append(list, setting{option: option, controller: "cpu", file: file, value: value, discarded: discarded})
	}
	if c.Idle != nil {
		add("CPU idle", "cpu.idle", fmt.Sprint(*c.Idle), "")
	}
	if c.Shares != nil && *c.Shares != 0 {
		add("CPU shares", "cpu.weight", fmt.Sprint(weightOfShares(*c.Shares)), noShares())
	}
	quota, period := int64(-1), uint64(defaultPeriodUsec)
	if c.Quota != nil && *c.Quota != 0 {
		quota = *c.Quota
	}
	if c.Period != nil && *c.Period != 0 {
		period = *c.Period
	}
	if quota > 0 || period != defaultPeriodUsec {
		add("CPU quota", "cpu.max", fmt.Sprintf("%s %d", limitOrMax(quota, "max"), period), noCPUQuota)
	}
	if c.Burst != nil {
		add("CPU burst", "cpu.max.burst", fmt.Sprint(*c.Burst), "")
	}
	return append(list, cpuset(c)...)
}

// Bounds of v1's shares and what they are in v2.
const (
	minShares, maxShares = 2, 262144
	minWeight, maxWeight = 1, 10000
)

// weightOfShares is the curve of github.com/opencontainers/cgroups: through the
// bounds, and through both defaults (1024 and 100).
func weightOfShares(shares uint64) uint64 {
	switch {
	case shares <= minShares:
		return minWeight
	case shares >= maxShares:
		return maxWeight
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

func ioV2(b *specs.LinuxBlockIO) (list []setting) {
	if b.Weight != nil && *b.Weight != 0 {
		// bfq takes v1's range 10–1000 (1–1000), io.weight 1–10000.
		w := uint64(*b.Weight)
		list = append(list, setting{option: "block I/O weight", controller: "io", file: "io.bfq.weight", value: fmt.Sprint(w),
			other: &alternative{"io.weight", fmt.Sprint(1 + (max(w, 10)-10)*9999/990)}, discarded: noWeight()})
	}
	for _, d := range b.WeightDevice {
		if d.Weight != nil {
			list = append(list, setting{option: "block I/O weight of a device", controller: "io", file: "io.bfq.weight",
				value: fmt.Sprintf("%s %d", device(d.LinuxBlockIODevice), *d.Weight), discarded: noWeight()})
		}
	}
	throttle := func(devices []specs.LinuxThrottleDevice, kind, words string) {
		for _, d := range devices {
			list = append(list, setting{option: "block I/O " + words + " limit", controller: "io", file: "io.max",
				value: fmt.Sprintf("%s %s=%d", device(d.LinuxBlockIODevice), kind, d.Rate), discarded: noThrottle(words)})
		}
	}
	throttle(b.ThrottleReadBpsDevice, "rbps", "BPS read")
	throttle(b.ThrottleWriteBpsDevice, "wbps", "BPS write")
	throttle(b.ThrottleReadIOPSDevice, "riops", "IOPS read")
	throttle(b.ThrottleWriteIOPSDevice, "wiops", "IOPS write")
	return list
}
