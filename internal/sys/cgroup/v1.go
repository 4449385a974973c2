package cgroup

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// settingsV1 is what res means for v1, in the order in which it can be written.
func settingsV1(res *specs.LinuxResources) ([]setting, error) {
	if len(res.Unified) > 0 {
		return nil, errors.New("unified resources need a host with cgroup v2")
	}
	rules, err := deviceRules(res.Devices)
	if err != nil {
		return nil, err
	}
	list := devicesV1(rules)
	if res.Memory != nil {
		list = append(list, memoryV1(res.Memory)...)
	}
	if res.CPU != nil {
		list = append(list, cpuV1(res.CPU)...)
	}
	if res.Pids != nil && res.Pids.Limit != nil {
		list = append(list, pidsLimit(*res.Pids.Limit))
	}
	if res.BlockIO != nil {
		list = append(list, blkio(res.BlockIO)...)
	}
	list = append(list, hugepages(res.HugepageLimits, ".limit_in_bytes")...)
	if n := res.Network; n != nil {
		if n.ClassID != nil {
			list = append(list, setting{option: "network class", controller: "net_cls", file: "net_cls.classid", value: fmt.Sprint(*n.ClassID)})
		}
		for _, p := range n.Priorities {
			list = append(list, setting{option: "network priority", controller: "net_prio", file: "net_prio.ifpriomap", value: fmt.Sprintf("%s %d", p.Name, p.Priority)})
		}
	}
	return list, nil
}

// devicesV1 starts from nothing, unless everything is allowed.
func devicesV1(rules []deviceRule) []setting {
	if allowsAll(rules) {
		return []setting{{option: "device rule", controller: "devices", file: "devices.allow", value: "a"}}
	}
	list := []setting{{option: "device rule", controller: "devices", file: "devices.deny", value: "a"}}
	for _, r := range rules {
		if r.everything() && !r.allow {
			list = list[:1] // nothing before it counts
			continue
		}
		file := "devices.deny"
		if r.allow {
			file = "devices.allow"
		}
		list = append(list, setting{option: "device rule", controller: "devices", file: file, value: r.String()})
	}
	return list
}

func memoryV1(m *specs.LinuxMemory) (list []setting) {
	add := func(option, file, value, discarded string) {
		list = append(list, setting{option: option, controller: "memory", file: file, value: value, discarded: discarded})
	}
	// The limit of memory and swap together is never below that of memory: a
	// new group has none, so memory comes first.
	if m.Limit != nil && *m.Limit != 0 {
		add("memory limit", "memory.limit_in_bytes", fmt.Sprint(*m.Limit), noMemory())
	}
	if m.Swap != nil && *m.Swap != 0 {
		add("memory and swap limit", "memory.memsw.limit_in_bytes", fmt.Sprint(*m.Swap), noSwap())
	}
	if m.Reservation != nil && *m.Reservation != 0 {
		add("memory reservation", "memory.soft_limit_in_bytes", fmt.Sprint(*m.Reservation), noReservation())
	}
	if m.KernelTCP != nil && *m.KernelTCP != 0 {
		add("kernel TCP memory limit", "memory.kmem.tcp.limit_in_bytes", fmt.Sprint(*m.KernelTCP), "")
	}
	if m.Swappiness != nil {
		add("memory swappiness", "memory.swappiness", fmt.Sprint(*m.Swappiness), noSwappiness())
	}
	if m.DisableOOMKiller != nil && *m.DisableOOMKiller {
		add("OOM killer", "memory.oom_control", "1", noOOMDisable)
	}
	return list
}

func cpuV1(c *specs.LinuxCPU) (list []setting) {
	add := func(option, file, value, discarded string) {
		list = append(list, setting{option: option, controller: "cpu", file: file, value: value, discarded: discarded})
	}
	if c.Shares != nil && *c.Shares != 0 {
		add("CPU shares", "cpu.shares", fmt.Sprint(*c.Shares), noShares())
	}
	if c.Period != nil && *c.Period != 0 {
		add("CPU period", "cpu.cfs_period_us", fmt.Sprint(*c.Period), noCPUPeriod)
	}
	if c.Quota != nil && *c.Quota != 0 {
		add("CPU quota", "cpu.cfs_quota_us", fmt.Sprint(*c.Quota), noCPUQuota)
	}
	if c.Burst != nil {
		add("CPU burst", "cpu.cfs_burst_us", fmt.Sprint(*c.Burst), "")
	}
	if c.RealtimePeriod != nil && *c.RealtimePeriod != 0 {
		add("CPU real-time period", "cpu.rt_period_us", fmt.Sprint(*c.RealtimePeriod), "")
	}
	if c.RealtimeRuntime != nil && *c.RealtimeRuntime != 0 {
		add("CPU real-time runtime", "cpu.rt_runtime_us", fmt.Sprint(*c.RealtimeRuntime), "")
	}
	if c.Idle != nil {
		add("CPU idle", "cpu.idle", fmt.Sprint(*c.Idle), "")
	}
	return append(list, cpuset(c)...)
}

func cpuset(c *specs.LinuxCPU) (list []setting) {
	if c.Cpus != "" {
		list = append(list, setting{option: "cpuset CPUs", controller: "cpuset", file: "cpuset.cpus", value: c.Cpus, discarded: noCpuset()})
	}
	if c.Mems != "" {
		list = append(list, setting{option: "cpuset memory nodes", controller: "cpuset", file: "cpuset.mems", value: c.Mems, discarded: noCpuset()})
	}
	return list
}

func pidsLimit(n int64) setting {
	if n == 0 {
		n = -1
	}
	return setting{option: "PIDs limit", controller: "pids", file: "pids.max", value: limitOrMax(n, "max"), discarded: noPids()}
}

func blkio(b *specs.LinuxBlockIO) (list []setting) {
	weight := func(option, suffix, value string) {
		list = append(list, setting{option: option, controller: "blkio", file: "blkio.weight" + suffix, value: value,
			other: &alternative{"blkio.bfq.weight" + suffix, value}, discarded: noWeight()})
	}
	if b.Weight != nil && *b.Weight != 0 {
		weight("block I/O weight", "", fmt.Sprint(*b.Weight))
	}
	for _, d := range b.WeightDevice {
		if d.Weight != nil {
			weight("block I/O weight of a device", "_device", fmt.Sprintf("%s %d", device(d.LinuxBlockIODevice), *d.Weight))
		}
	}
	throttle := func(devices []specs.LinuxThrottleDevice, kind, words string) {
		for _, d := range devices {
			list = append(list, setting{option: "block I/O " + words + " limit", controller: "blkio", file: "blkio.throttle." + kind + "_device",
				value: fmt.Sprintf("%s %d", device(d.LinuxBlockIODevice), d.Rate), discarded: noThrottle(words)})
		}
	}
	throttle(b.ThrottleReadBpsDevice, "read_bps", "BPS read")
	throttle(b.ThrottleWriteBpsDevice, "write_bps", "BPS write")
	throttle(b.ThrottleReadIOPSDevice, "read_iops", "IOPS read")
	throttle(b.ThrottleWriteIOPSDevice, "write_iops", "IOPS write")
	return list
}
