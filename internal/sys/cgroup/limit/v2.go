package limit

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Current is what a live group is limited to, for values that mean something
// only together. Of a new group it is empty.
type Current struct {
	Memory func() (string, error) // memory.max
	CPU    func() (string, error) // cpu.max
}

// V2 is what res means for v2; devices are a program, not a file.
func V2(res *specs.LinuxResources, now Current) (list []Setting, warnings []string, err error) {
	if res.Memory != nil {
		warnings = append(obsolete(res.Memory), absent(res.Memory)...)
		if list, err = memoryV2(res.Memory, now); err != nil {
			return nil, nil, err
		}
	}
	if res.CPU != nil {
		cpu, err := cpuV2(res.CPU, now)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, cpu...)
	}
	list = append(list, pids(res.Pids)...)
	if res.BlockIO != nil {
		warnings = append(warnings, noLeaves(res.BlockIO)...)
		list = append(list, ioV2(res.BlockIO)...)
	}
	huge, err := hugepages(res.HugepageLimits, hugeMax)
	if err != nil {
		return nil, nil, err
	}
	list = append(list, huge...)
	list = append(list, rdma(res.Rdma)...)
	list = append(list, network(res.Network)...)
	unified, err := unified(res.Unified)
	return append(list, unified...), warnings, err
}

// Inconvertible is an error if res has a field of v1 that nothing on v2
// corresponds to; V2 warns of it in Docker's words.
func Inconvertible(res *specs.LinuxResources) error {
	refuse := func(field, next string) error {
		return invalid("linux.resources.%s is a limit of cgroup v1, and this host has v2: %s", field, next)
	}
	m := res.Memory
	if m == nil {
		m = &specs.LinuxMemory{}
	}
	switch {
	case m.Swappiness != nil:
		return refuse("memory.swappiness", "take it out, or limit the swap")
	case m.DisableOOMKiller != nil && *m.DisableOOMKiller:
		return refuse("memory.disableOOMKiller", "take it out, or use unified memory.high in place of the limit")
	//lint:ignore SA1019 configurations still have it
	case given(m.Kernel) && *m.Kernel > 0:
		return refuse("memory.kernel", "take it out, the memory limit holds for the kernel's memory as well")
	case given(m.KernelTCP) && *m.KernelTCP > 0:
		return refuse("memory.kernelTCP", "take it out, the memory limit holds for TCP's memory as well")
	case res.BlockIO != nil && len(noLeaves(res.BlockIO)) > 0:
		return refuse("blockIO.leafWeight", "take it out, processes are only in groups without groups below")
	}
	return nil
}

// absent are the fields that nothing on v2 corresponds to.
func absent(m *specs.LinuxMemory) (warnings []string) {
	if m.Swappiness != nil {
		warnings = append(warnings, noSwappiness())
	}
	if m.DisableOOMKiller != nil && *m.DisableOOMKiller {
		warnings = append(warnings, noOOMDisable)
	}
	if given(m.KernelTCP) {
		warnings = append(warnings, "Kernel TCP memory limit discarded: cgroup v2 accounts it to the memory limit.")
	}
	return warnings
}

func noLeaves(b *specs.LinuxBlockIO) []string {
	leaf := b.LeafWeight != nil && *b.LeafWeight != 0
	for _, d := range b.WeightDevice {
		leaf = leaf || d.LeafWeight != nil && *d.LeafWeight != 0
	}
	if !leaf {
		return nil
	}
	return []string{"Block I/O leaf weight discarded: on cgroup v2 processes are only in groups without groups below."}
}

// unified are files of v2 by their names; a value may have several lines.
func unified(keys map[string]string) (list []Setting, err error) {
	for _, file := range sortedKeys(keys) {
		controller, _, ok := strings.Cut(file, ".")
		if !ok || filepath.Base(file) != file || controller == "cgroup" || controller == "" {
			return nil, invalid("unified resource %q = %q is not a controller's file, such as memory.high", file, keys[file])
		}
		for value := range strings.Lines(keys[file]) {
			value = strings.TrimSpace(value)
			s := Setting{Option: "unified resource " + file, Controller: controller, File: file, Value: value}
			if key, _, keyed := strings.Cut(value, " "); keyed && file != "cpu.max" {
				s.Old = line(key, "max")
			}
			list = append(list, s)
		}
	}
	return list, nil
}

func memoryV2(m *specs.LinuxMemory, now Current) (list []Setting, err error) {
	add := func(option, file, value, discarded string) {
		list = append(list, Setting{Option: option, Controller: "memory", File: file, Value: value, Discarded: discarded})
	}
	if given(m.Limit) {
		add("memory limit", "memory.max", orMax(*m.Limit), noMemory())
	}
	if given(m.Swap) {
		memory := m.Limit
		if !given(memory) && now.Memory != nil {
			if memory, err = number(now.Memory); err != nil {
				return nil, err
			}
		}
		swap, err := swapAlone(*m.Swap, memory)
		if err != nil {
			return nil, err
		}
		add("swap limit", "memory.swap.max", swap, noSwap())
	} else if m.Limit != nil && *m.Limit == -1 {
		add("swap limit", "memory.swap.max", "max", "")
		list[len(list)-1].Optional = true
	}
	if given(m.Reservation) {
		add("memory reservation", "memory.low", orMax(*m.Reservation), noReservation())
	}
	return list, nil
}

func number(read func() (string, error)) (*int64, error) {
	s, err := read()
	if err != nil || s == "max" {
		return nil, err
	}
	var n int64
	if _, err := fmt.Sscan(s, &n); err != nil {
		return nil, fmt.Errorf("read memory.max: %w", err)
	}
	return &n, nil
}

// swapAlone is what v2 counts: OCI's value is memory and swap together.
func swapAlone(both int64, memory *int64) (string, error) {
	switch {
	case both < 0:
		return "max", nil
	case memory == nil || *memory <= 0:
		return "", invalid("a limit of memory and swap (%d) needs a memory limit", both)
	case both < *memory:
		return "", invalid("the limit of memory and swap (%d) is below the memory limit (%d)", both, *memory)
	}
	return fmt.Sprint(both - *memory), nil
}

const defaultPeriodUsec = 100_000

func cpuV2(c *specs.LinuxCPU, now Current) (list []Setting, err error) {
	add := func(option, file, value, discarded string) {
		list = append(list, Setting{Option: option, Controller: "cpu", File: file, Value: value, Discarded: discarded})
	}
	if given(c.RealtimePeriod) || given(c.RealtimeRuntime) {
		return nil, invalid("the CPU real-time runtime and period are limits of cgroup v1, and this host has v2: take them out")
	}
	if c.Idle != nil {
		add("CPU idle", "cpu.idle", fmt.Sprint(*c.Idle), "")
	}
	// An idle group's weight is fixed, the kernel refuses another.
	if idle := c.Idle != nil && *c.Idle == 1; given(c.Shares) && !idle {
		add("CPU shares", "cpu.weight", fmt.Sprint(WeightOfShares(*c.Shares)), noShares())
	}
	value, err := cpuMax(c, now)
	if err != nil {
		return nil, err
	}
	if value != "" {
		add("CPU quota", "cpu.max", value, noCPUQuota)
	}
	if c.Burst != nil {
		add("CPU burst", "cpu.max.burst", fmt.Sprint(*c.Burst), "")
	}
	return append(list, cpuset(c)...), nil
}

func given[T int64 | uint64](n *T) bool { return n != nil && *n != 0 }

// cpuMax is quota and period in one file: what is not given stays as it is.
func cpuMax(c *specs.LinuxCPU, now Current) (string, error) {
	if !given(c.Quota) && !given(c.Period) {
		return "", nil
	}
	quota, period := "max", fmt.Sprint(defaultPeriodUsec)
	if now.CPU != nil {
		s, err := now.CPU()
		if err != nil {
			return "", err
		}
		if f := strings.Fields(s); len(f) == 2 {
			quota, period = f[0], f[1]
		}
	}
	if given(c.Quota) {
		quota = orMax(*c.Quota)
	}
	if given(c.Period) {
		period = fmt.Sprint(*c.Period)
	}
	return quota + " " + period, nil
}

// Bounds of v1's shares and what they are in v2.
const (
	minShares, maxShares = 2, 262144
	minWeight, maxWeight = 1, 10000
)

// WeightOfShares is the curve of github.com/opencontainers/cgroups: through the
// bounds, and through both defaults (1024 and 100).
func WeightOfShares(shares uint64) uint64 {
	switch {
	case shares <= minShares:
		return minWeight
	case shares >= maxShares:
		return maxWeight
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

// weightOfBlkio takes v1's range 10–1000 to io.weight's 1–10000; bfq takes v1's.
func weightOfBlkio(weight uint16) uint64 { return 1 + (max(uint64(weight), 10)-10)*9999/990 }

func ioV2(b *specs.LinuxBlockIO) (list []Setting) {
	weight := func(option, prefix string, w uint16, old func(string) string) {
		list = append(list, Setting{Option: option, Controller: "io", File: "io.bfq.weight", Value: fmt.Sprintf("%s%d", prefix, w),
			Other: &Alternative{"io.weight", fmt.Sprintf("%s%d", prefix, weightOfBlkio(w))}, Discarded: noWeight(), Old: old})
	}
	if b.Weight != nil && *b.Weight != 0 {
		weight("block I/O weight", "", *b.Weight, line("default", "100"))
	}
	for _, d := range b.WeightDevice {
		if d.Weight != nil {
			name := device(d.LinuxBlockIODevice)
			weight("block I/O weight of a device", name+" ", *d.Weight, line(name, "default"))
		}
	}
	for _, t := range throttles(b) {
		for _, d := range t.devices {
			name, rate := device(d.LinuxBlockIODevice), "max"
			if d.Rate != 0 { // on v1 0 is no limit, here it is refused
				rate = fmt.Sprint(d.Rate)
			}
			list = append(list, Setting{Option: "block I/O " + t.words + " limit", Controller: "io", File: "io.max",
				Value: fmt.Sprintf("%s %s=%s", name, t.v2, rate), Discarded: noThrottle(t.words),
				Old: line(name, "rbps=max wbps=max riops=max wiops=max")})
		}
	}
	return list
}
