package limit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// V1 is what res means for v1, but for devices, which package device knows.
func V1(res *specs.LinuxResources) (list []Setting, warnings []string, err error) {
	if len(res.Unified) > 0 {
		key := sortedKeys(res.Unified)[0]
		return nil, nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"unified resource %s = %q needs cgroup v2, and this host has v1: use the fields of linux.resources", key, res.Unified[key]))
	}
	if res.Memory != nil {
		list, warnings = memoryV1(res.Memory), obsolete(res.Memory)
	}
	if res.CPU != nil {
		list = append(list, cpuV1(res.CPU)...)
	}
	list = append(list, pids(res.Pids)...)
	if res.BlockIO != nil {
		list = append(list, blkio(res.BlockIO)...)
	}
	huge, err := hugepages(res.HugepageLimits, ".limit_in_bytes")
	if err != nil {
		return nil, nil, err
	}
	list = append(list, huge...)
	list = append(list, rdma(res.Rdma)...)
	return append(list, network(res.Network)...), warnings, nil
}

func memoryV1(m *specs.LinuxMemory) (list []Setting) {
	add := func(option, file, value, discarded string) {
		list = append(list, Setting{Option: option, Controller: "memory", File: file, Value: value, Discarded: discarded})
	}
	if m.UseHierarchy != nil {
		// The kernel knows nothing else since 5.11, and refuses 0.
		add("memory hierarchy", "memory.use_hierarchy", bit(*m.UseHierarchy), "")
	}
	if given(m.Limit) {
		add("memory limit", "memory.limit_in_bytes", fmt.Sprint(*m.Limit), noMemory())
	}
	switch unlimited := m.Limit != nil && *m.Limit == -1; {
	case given(m.Swap):
		add("memory and swap limit", "memory.memsw.limit_in_bytes", fmt.Sprint(*m.Swap), noSwap())
	case unlimited: // memory and swap together are never below memory
		add("memory and swap limit", "memory.memsw.limit_in_bytes", "-1", "")
		list[len(list)-1].Optional = true
	}
	if given(m.Reservation) {
		add("memory reservation", "memory.soft_limit_in_bytes", fmt.Sprint(*m.Reservation), noReservation())
	}
	if given(m.KernelTCP) {
		add("kernel TCP memory limit", "memory.kmem.tcp.limit_in_bytes", fmt.Sprint(*m.KernelTCP), "")
	}
	if m.Swappiness != nil {
		add("memory swappiness", "memory.swappiness", fmt.Sprint(*m.Swappiness), noSwappiness())
	}
	if m.DisableOOMKiller != nil {
		add("OOM killer", "memory.oom_control", bit(*m.DisableOOMKiller), noOOMDisable)
		s := &list[len(list)-1]
		s.Optional = !*m.DisableOOMKiller
		s.Old = func(content string) string {
			return strings.TrimPrefix(line("oom_kill_disable", "0")(content), "oom_kill_disable ")
		}
	}
	return list
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func cpuV1(c *specs.LinuxCPU) (list []Setting) {
	add := func(option, file, value, discarded string) {
		list = append(list, Setting{Option: option, Controller: "cpu", File: file, Value: value, Discarded: discarded})
	}
	add1 := func(option, file string, value *uint64, discarded string) {
		if given(value) {
			add(option, file, fmt.Sprint(*value), discarded)
		}
	}
	idle := c.Idle != nil && *c.Idle == 1
	if c.Idle != nil {
		add("CPU idle", "cpu.idle", fmt.Sprint(*c.Idle), "")
	}
	if !idle { // an idle group's weight is fixed, the kernel refuses another
		add1("CPU shares", "cpu.shares", c.Shares, noShares())
	}
	add1("CPU real-time period", "cpu.rt_period_us", c.RealtimePeriod, "")
	if given(c.RealtimeRuntime) {
		add("CPU real-time runtime", "cpu.rt_runtime_us", fmt.Sprint(*c.RealtimeRuntime), "")
	}
	add1("CPU period", "cpu.cfs_period_us", c.Period, noCPUPeriod)
	if given(c.Quota) {
		add("CPU quota", "cpu.cfs_quota_us", fmt.Sprint(*c.Quota), noCPUQuota)
	}
	if c.Burst != nil {
		add("CPU burst", "cpu.cfs_burst_us", fmt.Sprint(*c.Burst), "")
	}
	return append(list, cpuset(c)...)
}

func blkio(b *specs.LinuxBlockIO) (list []Setting) {
	weight := func(option, suffix, value string, old func(string) string) {
		list = append(list, Setting{Option: option, Controller: "blkio", File: "blkio.weight" + suffix, Value: value,
			Other: &Alternative{"blkio.bfq.weight" + suffix, value}, Discarded: noWeight(), Old: old})
	}
	if b.Weight != nil && *b.Weight != 0 {
		weight("block I/O weight", "", fmt.Sprint(*b.Weight), nil)
	}
	leaf := func(option, suffix, value string, old func(string) string) {
		list = append(list, Setting{Option: option, Controller: "blkio", File: "blkio.leaf_weight" + suffix, Value: value, Discarded: noWeight(), Old: old})
	}
	if b.LeafWeight != nil && *b.LeafWeight != 0 {
		leaf("block I/O leaf weight", "", fmt.Sprint(*b.LeafWeight), nil)
	}
	for _, d := range b.WeightDevice {
		name := device(d.LinuxBlockIODevice)
		if d.Weight != nil {
			weight("block I/O weight of a device", "_device", fmt.Sprintf("%s %d", name, *d.Weight), line(name, "0"))
		}
		if d.LeafWeight != nil {
			leaf("block I/O leaf weight of a device", "_device", fmt.Sprintf("%s %d", name, *d.LeafWeight), line(name, "0"))
		}
	}
	for _, t := range throttles(b) {
		for _, d := range t.devices {
			name := device(d.LinuxBlockIODevice)
			list = append(list, Setting{Option: "block I/O " + t.words + " limit", Controller: "blkio", File: "blkio.throttle." + t.v1 + "_device",
				Value: fmt.Sprintf("%s %d", name, d.Rate), Discarded: noThrottle(t.words), Old: line(name, "0")})
		}
	}
	return list
}

// throttle is one of the four kinds.
type throttle struct {
	devices       []specs.LinuxThrottleDevice
	v1, v2, words string
}

func throttles(b *specs.LinuxBlockIO) []throttle {
	return []throttle{
		{b.ThrottleReadBpsDevice, "read_bps", "rbps", "BPS read"},
		{b.ThrottleWriteBpsDevice, "write_bps", "wbps", "BPS write"},
		{b.ThrottleReadIOPSDevice, "read_iops", "riops", "IOPS read"},
		{b.ThrottleWriteIOPSDevice, "write_iops", "wiops", "IOPS write"},
	}
}

func network(n *specs.LinuxNetwork) (list []Setting) {
	if n == nil {
		return nil
	}
	if n.ClassID != nil && *n.ClassID != 0 {
		list = append(list, Setting{Option: "network class", Controller: "net_cls", File: "net_cls.classid", Value: fmt.Sprint(*n.ClassID)})
	}
	for _, p := range n.Priorities {
		list = append(list, Setting{Option: "network priority", Controller: "net_prio", File: "net_prio.ifpriomap",
			Value: fmt.Sprintf("%s %d", p.Name, p.Priority), Old: line(p.Name, "0")})
	}
	return list
}
