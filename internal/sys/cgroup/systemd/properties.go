package systemd

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/berth-containers/berth/internal/sys/cgroup/device"
	"github.com/berth-containers/berth/internal/sys/cgroup/limit"
	"github.com/berth-containers/berth/internal/sys/dbus"
)

// infinity is systemd's word for no limit.
const infinity = math.MaxUint64

// The versions of systemd that have a property first.
const (
	sinceQuotaPeriod = 242
	sinceCpuset      = 244
	sinceIdle        = 252
)

// numbers are the properties that are the file's value.
var numbers = map[string]string{
	"memory.max": "MemoryMax", "memory.low": "MemoryLow", "memory.high": "MemoryHigh", "memory.min": "MemoryMin",
	"memory.swap.max": "MemorySwapMax", "cpu.weight": "CPUWeight", "io.weight": "IOWeight", "pids.max": "TasksMax",
	"memory.limit_in_bytes": "MemoryLimit", "cpu.shares": "CPUShares", "blkio.weight": "BlockIOWeight",
}

// properties are the settings in systemd's words; what it has none for is left
// out. A limit that systemd does not know would be lost when it writes its own.
func properties(version int, list []limit.Setting) (dbus.Properties, error) {
	var props dbus.Properties
	add := func(name string, v dbus.Value) { props = append(props, dbus.Property{Name: name, Value: v}) }
	quota, period := "", ""
	for _, s := range list {
		if name := numbers[s.File]; name != "" {
			n, err := number(s.Value)
			if err != nil {
				return nil, invalid("%s %s is not a number", s.Option, s.Value)
			}
			add(name, dbus.Uint64(n))
			continue
		}
		switch {
		case s.File == "cpu.max":
			quota, period, _ = strings.Cut(s.Value, " ")
		case s.File == "cpu.cfs_quota_us":
			quota = s.Value
		case s.File == "cpu.cfs_period_us":
			period = s.Value
		case s.File == "cpu.idle" && s.Value == "1" && version >= sinceIdle:
			add("CPUWeight", dbus.Uint64(0))
		case (s.File == "cpuset.cpus" || s.File == "cpuset.mems") && version >= sinceCpuset:
			mask, err := bits(s.Value)
			if err != nil {
				return nil, invalid("%s %s: %v", s.Option, s.Value, err)
			}
			add(map[string]string{"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}[s.File], dbus.Bytes(mask))
		case s.File == "io.max":
			props = append(props, throttles(s.Value)...)
		}
	}
	more, err := cpuQuota(version, quota, period)
	return append(props, more...), err
}

func number(s string) (uint64, error) {
	if s == "max" || s == "-1" {
		return infinity, nil
	}
	return strconv.ParseUint(s, 10, 64)
}

// cpuQuota is the quota per second, in steps of 10 ms: systemd rounds down to
// one, and a limit must not be below what is asked for.
func cpuQuota(version int, quota, period string) (props dbus.Properties, err error) {
	const defaultPeriod, step, second = 100_000, 10_000, 1_000_000
	p := uint64(defaultPeriod)
	if period != "" {
		if p, err = strconv.ParseUint(period, 10, 64); err != nil || p == 0 {
			return nil, invalid("CPU period %s is not a number of microseconds", period)
		}
		if version >= sinceQuotaPeriod {
			props = append(props, dbus.Property{Name: "CPUQuotaPeriodUSec", Value: dbus.Uint64(p)})
		}
	}
	if quota == "" {
		return props, nil
	}
	q, err := number(quota)
	if err != nil {
		return nil, invalid("CPU quota %s is not a number of microseconds", quota)
	}
	perSecond := uint64(infinity)
	if q != infinity {
		if q > infinity/second-step {
			return nil, invalid("CPU quota %s is too big", quota)
		}
		perSecond = (q*second/p + step - 1) / step * step
	}
	return append(props, dbus.Property{Name: "CPUQuotaPerSecUSec", Value: dbus.Uint64(perSecond)}), nil
}

// bits is a list such as "0-3,7" as a mask, the lowest number first.
func bits(list string) ([]byte, error) {
	const most = 8192 // CPUs of the biggest kernels
	var mask []byte
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		a, err := strconv.ParseUint(first, 10, 16)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(last, 10, 16)
		}
		if err != nil || b < a || b >= most {
			return nil, fmt.Errorf("%q is not a list of numbers and ranges, such as 0-3,7", list)
		}
		for n := a; n <= b; n++ {
			for uint64(len(mask)) <= n/8 {
				mask = append(mask, 0)
			}
			mask[n/8] |= 1 << (n % 8)
		}
	}
	return mask, nil
}

// throttles reads a line of io.max, "8:16 rbps=1".
func throttles(line string) (props dbus.Properties) {
	f := strings.Fields(line)
	if len(f) == 0 {
		return nil
	}
	names := map[string]string{"rbps": "IOReadBandwidthMax", "wbps": "IOWriteBandwidthMax", "riops": "IOReadIOPSMax", "wiops": "IOWriteIOPSMax"}
	for _, w := range f[1:] {
		key, value, _ := strings.Cut(w, "=")
		n, err := number(value)
		if name := names[key]; name != "" && err == nil {
			props = append(props, dbus.Property{Name: name, Value: dbus.Pairs{Of: dbus.Uint64(0),
				List: []dbus.Pair{{Name: "/dev/block/" + f[0], Value: dbus.Uint64(n)}}}})
		}
	}
	return props
}

// devices are for v1, where systemd would write its own rules over ours: a list
// of what is allowed, with nothing allowed before. What a later rule denies again
// is written by package cgroup. On v2 a program of ours is asked besides systemd's.
func devices(rules []device.Rule) dbus.Properties {
	policy := dbus.Property{Name: "DevicePolicy", Value: dbus.String("strict")}
	allow := dbus.Pairs{Of: dbus.String("")}
	empty := dbus.Property{Name: "DeviceAllow", Value: allow}
	if device.AllowsAll(rules) {
		policy.Value = dbus.String("auto")
		return dbus.Properties{policy, empty}
	}
	for _, l := range device.V1(rules) {
		f := strings.Fields(l.Value)
		if l.File != "devices.allow" || len(f) != 3 {
			continue
		}
		kinds := map[string][]string{"c": {"char"}, "b": {"block"}, "a": {"char", "block"}}[f[0]]
		for _, kind := range kinds {
			major, minor, _ := strings.Cut(f[1], ":")
			path := kind + "-" + major // a major number, or * for all
			if major != "*" && minor != "*" {
				path = "/dev/" + kind + "/" + f[1]
			}
			allow.List = append(allow.List, dbus.Pair{Name: path, Value: dbus.String(f[2])})
		}
	}
	return dbus.Properties{policy, empty, {Name: "DeviceAllow", Value: allow}}
}
