package events

import (
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/leanjson"
	"github.com/berth-containers/berth/internal/sys/cgroup/stats"
)

func TestShape(t *testing.T) {
	s := stats.Stats{
		CPU: stats.CPU{Usage: 30, User: 20, System: 10, PerCPU: []time.Duration{10, 20}, Periods: 1, ThrottledPeriods: 2, Throttled: 3},
		Memory: stats.Memory{Memory: stats.Usage{Usage: 1, Peak: 2, Limit: 3, Failures: 4}, Cache: 5, Raw: map[string]uint64{"anon": 6},
			Pressure: &stats.Pressure{Some: stats.Stall{Avg10: 1.5, Total: 2 * time.Millisecond}}},
		Pids:      stats.Pids{Current: 7, Limit: 8},
		IO:        stats.IO{ServiceBytes: []stats.Entry{{Major: 8, Op: "Read", Value: 9}}},
		Hugepages: map[string]stats.Hugepage{"2MB": {Usage: 10, Peak: 11, Failures: 12}},
	}
	for _, row := range []struct {
		event Event
		want  string
	}{
		{OOM("x"), `{"type":"oom","id":"x"}`},
		{Of("x", s), `{"type":"stats","id":"x","data":{"cpu":{"usage":{"total":30,"percpu":[10,20],"kernel":10,"user":20},` +
			`"throttling":{"periods":1,"throttledPeriods":2,"throttledTime":3}},` +
			`"memory":{"cache":5,"usage":{"limit":3,"usage":1,"max":2,"failcnt":4},"swap":{"limit":0,"failcnt":0},"kernel":{"limit":0,"failcnt":0},` +
			`"kernelTCP":{"limit":0,"failcnt":0},"raw":{"anon":6},"psi":{"some":{"avg10":1.5,"avg60":0,"avg300":0,"total":2000},"full":{"avg10":0,"avg60":0,"avg300":0,"total":0}}},` +
			`"pids":{"current":7,"limit":8},"blkio":{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":9}]},` +
			`"hugetlb":{"2MB":{"usage":10,"max":11,"failcnt":12}},"intel_rdt":{},"network_interfaces":null}}`},
	} {
		if got, err := leanjson.Marshal(row.event); err != nil || string(got) != row.want {
			t.Errorf("got  %s, %v\nwant %s", got, err, row.want)
		}
	}
}
