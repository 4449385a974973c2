package stats

import (
	"strconv"
	"strings"
	"time"

	"github.com/berth-containers/berth/internal/sys/cgroup/kernfs"
)

// clockTick is USER_HZ, which is 100 on every architecture that Go knows.
const clockTick = 10 * time.Millisecond

func (r *reader) cpuV1() CPU {
	c := CPU{
		Usage:  nanoseconds(r.number("cpuacct", "cpuacct.usage")),
		PerCPU: durations(r.text("cpuacct", "cpuacct.usage_percpu")),
	}
	times := r.table("cpuacct", "cpuacct.stat")
	c.User, c.System = time.Duration(times["user"])*clockTick, time.Duration(times["system"])*clockTick
	c.PerCPUUser = durations(r.text("cpuacct", "cpuacct.usage_percpu_user"))
	c.PerCPUSystem = durations(r.text("cpuacct", "cpuacct.usage_percpu_sys"))
	stat := r.table("cpu", "cpu.stat")
	c.Periods, c.ThrottledPeriods = stat["nr_periods"], stat["nr_throttled"]
	c.Throttled = nanoseconds(stat["throttled_time"])
	c.Bursts, c.Burst = stat["nr_bursts"], nanoseconds(stat["burst_time"])
	return c
}

func nanoseconds(n uint64) time.Duration { return time.Duration(n) }

// durations reads nanoseconds, a word each.
func durations(s string) (list []time.Duration) {
	for w := range strings.FieldsSeq(s) {
		if n, err := strconv.ParseInt(w, 10, 64); err == nil {
			list = append(list, time.Duration(n))
		}
	}
	return list
}

func (r *reader) memoryV1() Memory {
	usage := func(prefix string) Usage {
		return Usage{
			Usage: r.number("memory", prefix+".usage_in_bytes"), Peak: r.number("memory", prefix+".max_usage_in_bytes"),
			Limit: r.number("memory", prefix+".limit_in_bytes"), Failures: r.number("memory", prefix+".failcnt"),
		}
	}
	m := Memory{Memory: usage("memory"), Swap: usage("memory.memsw"), Kernel: usage("memory.kmem"), KernelTCP: usage("memory.kmem.tcp"),
		Raw: r.table("memory", "memory.stat"), UseHierarchy: r.number("memory", "memory.use_hierarchy") == 1}
	m.Cache = m.Raw["cache"]
	m.OOMKilled = r.table("memory", "memory.oom_control")["oom_kill"]
	m.OOM = m.OOMKilled
	return m
}

// ioV1 takes bfq's counters where it is used, else the throttle's, which count
// below every scheduler.
func (r *reader) ioV1() IO {
	get := func(name string) []Entry {
		for _, prefix := range []string{"blkio.bfq.", "blkio."} {
			if list := r.entries("blkio", prefix+name+"_recursive"); len(list) > 0 {
				return list
			}
		}
		return nil
	}
	io := IO{ServiceTime: get("io_service_time"), WaitTime: get("io_wait_time"), Merged: get("io_merged"), Queued: get("io_queued"), Time: get("time")}
	for to, name := range map[*[]Entry]string{&io.ServiceBytes: "io_service_bytes", &io.Serviced: "io_serviced"} {
		if *to = get(name); len(*to) == 0 {
			if *to = r.entries("blkio", "blkio.throttle."+name+"_recursive"); len(*to) == 0 {
				*to = r.entries("blkio", "blkio.throttle."+name)
			}
		}
	}
	return io
}

// entries reads lines "8:0 Read 4096" or "8:0 4096"; the sum over all devices is
// left out.
func (r *reader) entries(controller, file string) (list []Entry) {
	for line := range strings.Lines(r.text(controller, file)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		e, ok := parseDevice(f[0])
		n, err := kernfs.Parse(f[len(f)-1])
		if !ok || err != nil {
			continue
		}
		if len(f) > 2 {
			e.Op = f[1]
		}
		e.Value = n
		list = append(list, e)
	}
	return sortEntries(list)
}

func parseDevice(s string) (Entry, bool) {
	major, minor, ok := strings.Cut(s, ":")
	a, errA := strconv.ParseUint(major, 10, 32)
	b, errB := strconv.ParseUint(minor, 10, 32)
	return Entry{Major: a, Minor: b}, ok && errA == nil && errB == nil
}
