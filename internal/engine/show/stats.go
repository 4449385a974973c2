package show

import (
	"strconv"
	"strings"
	"time"

	api "github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/sys/cgroup/stats"
)

// Stats shows a reading of a cgroup. A memory limit above memory is memory: no
// more can be used.
func Stats(s stats.Stats, memory uint64, to *api.StatsResponse) {
	to.PidsStats = api.PidsStats{Current: s.Pids.Current, Limit: s.Pids.Limit}
	to.CPUStats = api.CPUStats{
		CPUUsage: api.CPUUsage{TotalUsage: uint64(s.CPU.Usage), UsageInKernelmode: uint64(s.CPU.System), UsageInUsermode: uint64(s.CPU.User),
			PercpuUsage: nanoseconds(s.CPU.PerCPU)},
		ThrottlingData: api.ThrottlingData{Periods: s.CPU.Periods, ThrottledPeriods: s.CPU.ThrottledPeriods, ThrottledTime: uint64(s.CPU.Throttled)},
	}
	m := s.Memory.Memory
	to.MemoryStats = api.MemoryStats{Usage: m.Usage, MaxUsage: m.Peak, Failcnt: m.Failures, Limit: min(m.Limit, memory), Stats: s.Memory.Raw}
	to.BlkioStats = api.BlkioStats{
		IoServiceBytesRecursive: entries(s.IO.ServiceBytes), IoServicedRecursive: entries(s.IO.Serviced), IoQueuedRecursive: entries(s.IO.Queued),
		IoServiceTimeRecursive: entries(s.IO.ServiceTime), IoWaitTimeRecursive: entries(s.IO.WaitTime), IoMergedRecursive: entries(s.IO.Merged),
		IoTimeRecursive: entries(s.IO.Time),
	}
}

func nanoseconds(list []time.Duration) []uint64 {
	var all []uint64
	for _, d := range list {
		all = append(all, uint64(d))
	}
	return all
}

func entries(list []stats.Entry) []api.BlkioStatEntry {
	var all []api.BlkioStatEntry
	for _, e := range list {
		op := e.Op
		if op != "" {
			op = strings.ToLower(op)
		}
		all = append(all, api.BlkioStatEntry{Major: e.Major, Minor: e.Minor, Op: op, Value: e.Value})
	}
	return all
}

// Networks reads /proc/PID/net/dev, without the loopback interface.
func Networks(text []byte) map[string]api.NetworkStats {
	all := map[string]api.NetworkStats{}
	for line := range strings.Lines(string(text)) {
		name, counters, found := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		f := strings.Fields(counters)
		if !found || name == "lo" || len(f) < 12 {
			continue
		}
		n := func(i int) uint64 {
			v, _ := strconv.ParseUint(f[i], 10, 64) // the kernel's own numbers
			return v
		}
		all[name] = api.NetworkStats{RxBytes: n(0), RxPackets: n(1), RxErrors: n(2), RxDropped: n(3), TxBytes: n(8), TxPackets: n(9), TxErrors: n(10), TxDropped: n(11)}
	}
	return all
}
