package show

import (
	"reflect"
	"testing"
	"time"

	api "github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/sys/cgroup/stats"
)

func TestStats(t *testing.T) {
	in := stats.Stats{
		CPU:    stats.CPU{Usage: 5 * time.Second, User: 3 * time.Second, System: 2 * time.Second, PerCPU: []time.Duration{1, 2}, Periods: 4, ThrottledPeriods: 1, Throttled: time.Millisecond},
		Memory: stats.Memory{Memory: stats.Usage{Usage: 10, Peak: 20, Limit: 1 << 63, Failures: 3}, Raw: map[string]uint64{"inactive_file": 4}},
		Pids:   stats.Pids{Current: 2, Limit: 50},
		IO:     stats.IO{ServiceBytes: []stats.Entry{{Major: 8, Minor: 1, Op: "Read", Value: 512}}},
	}
	var out api.StatsResponse
	Stats(in, 1000, &out)
	if c := out.CPUStats; c.CPUUsage.TotalUsage != 5e9 || c.CPUUsage.UsageInUsermode != 3e9 || len(c.CPUUsage.PercpuUsage) != 2 || c.ThrottlingData.ThrottledTime != 1e6 {
		t.Errorf("%+v", c)
	}
	if m := out.MemoryStats; m.Usage != 10 || m.MaxUsage != 20 || m.Limit != 1000 || m.Failcnt != 3 || m.Stats["inactive_file"] != 4 {
		t.Errorf("%+v", m)
	}
	if want := (api.BlkioStatEntry{Major: 8, Minor: 1, Op: "read", Value: 512}); out.BlkioStats.IoServiceBytesRecursive[0] != want || out.PidsStats.Limit != 50 {
		t.Errorf("%+v %+v", out.BlkioStats, out.PidsStats)
	}
}

func TestNetworks(t *testing.T) {
	got := Networks([]byte(`Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:    1234       5    6    7    0     0          0         0     4321       8    9   10    0     0       0          0
 short: 1 2
`))
	want := map[string]api.NetworkStats{"eth0": {RxBytes: 1234, RxPackets: 5, RxErrors: 6, RxDropped: 7, TxBytes: 4321, TxPackets: 8, TxErrors: 9, TxDropped: 10}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}
