package stats

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// group writes a group's files.
func group(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const none = ^uint64(0)

func TestV2(t *testing.T) {
	const psi = "some avg10=1.50 avg60=0.20 avg300=0.03 total=400\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
	dir := group(t, map[string]string{
		"cpu.stat":       "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 5\nnr_throttled 2\nthrottled_usec 9\nnr_bursts 1\nburst_usec 3\n",
		"memory.current": "4096\n", "memory.peak": "8192\n", "memory.max": "max\n", "memory.swap.current": "1\n", "memory.swap.max": "5\n",
		"memory.stat": "anon 100\nfile 200\n", "memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n", "memory.pressure": psi,
		"pids.current": "3\n", "pids.max": "max\n",
		"io.stat":             "8:16 rbytes=5 wbytes=6 rios=7 wios=8 dbytes=0 dios=0\n8:0 rbytes=1 wbytes=2 rios=3 wios=4\n252:0\n",
		"hugetlb.2MB.current": "2097152\n", "hugetlb.2MB.events": "max 4\n", "hugetlb.2MB.rsvd.current": "0\n",
		"rdma.current": "mlx4_0 hca_handle=1 hca_object=20\n", "rdma.max": "mlx4_0 hca_handle=2 hca_object=max\n",
	})
	got, err := V2(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := Stats{
		CPU: CPU{Usage: 30 * time.Microsecond, User: 20 * time.Microsecond, System: 10 * time.Microsecond, Periods: 5, ThrottledPeriods: 2,
			Throttled: 9 * time.Microsecond, Bursts: 1, Burst: 3 * time.Microsecond},
		Memory: Memory{Memory: Usage{4096, 8192, none, 7}, Swap: Usage{Usage: 1, Limit: 5}, Cache: 200, UseHierarchy: true,
			Raw: map[string]uint64{"anon": 100, "file": 200}, OOM: 2, OOMKilled: 1,
			Pressure: &Pressure{Some: Stall{1.5, 0.2, 0.03, 400 * time.Microsecond}, Full: Stall{Total: 7 * time.Microsecond}}},
		Pids: Pids{Current: 3},
		IO: IO{ServiceBytes: []Entry{{8, 0, "Read", 1}, {8, 0, "Write", 2}, {8, 16, "Read", 5}, {8, 16, "Write", 6}, {8, 16, "Discard", 0}},
			Serviced: []Entry{{8, 0, "Read", 3}, {8, 0, "Write", 4}, {8, 16, "Read", 7}, {8, 16, "Write", 8}, {8, 16, "Discard", 0}}},
		Hugepages: map[string]Hugepage{"2MB": {Usage: 2097152, Failures: 4}},
		RDMA:      map[string]RDMA{"mlx4_0": {1, 20, 2, none}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
}

func TestV1(t *testing.T) {
	dir := group(t, map[string]string{
		"cpuacct.usage": "500\n", "cpuacct.usage_percpu": "200 300 \n", "cpuacct.stat": "user 3\nsystem 4\n",
		"cpu.stat":              "nr_periods 5\nnr_throttled 2\nthrottled_time 9\n",
		"memory.usage_in_bytes": "10\n", "memory.max_usage_in_bytes": "20\n", "memory.limit_in_bytes": "30\n", "memory.failcnt": "4\n",
		"memory.memsw.usage_in_bytes": "11\n", "memory.stat": "cache 7\nrss 8\n", "memory.use_hierarchy": "1\n",
		"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n",
		"pids.current":       "3\n", "pids.max": "9\n",
		"blkio.throttle.io_service_bytes":      "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n",
		"blkio.bfq.io_serviced_recursive":      "8:0 Read 4\nTotal 4\n",
		"blkio.throttle.io_serviced_recursive": "8:0 Read 400\n",
		"hugetlb.1GB.usage_in_bytes":           "1\n", "hugetlb.1GB.max_usage_in_bytes": "2\n", "hugetlb.1GB.failcnt": "3\n",
	})
	got, err := V1(func(controller string) (string, bool) { return dir, controller != "rdma" })
	if err != nil {
		t.Fatal(err)
	}
	want := Stats{
		CPU:    CPU{Usage: 500, User: 30 * time.Millisecond, System: 40 * time.Millisecond, PerCPU: []time.Duration{200, 300}, Periods: 5, ThrottledPeriods: 2, Throttled: 9},
		Memory: Memory{Memory: Usage{10, 20, 30, 4}, Swap: Usage{Usage: 11}, Cache: 7, UseHierarchy: true, Raw: map[string]uint64{"cache": 7, "rss": 8}, OOM: 6, OOMKilled: 6},
		Pids:   Pids{3, 9},
		IO: IO{ServiceBytes: []Entry{{8, 0, "Read", 1}, {8, 0, "Write", 2}, {8, 0, "Total", 3}},
			Serviced: []Entry{{8, 0, "Read", 4}}},
		Hugepages: map[string]Hugepage{"1GB": {1, 2, 3}}, RDMA: map[string]RDMA{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
}

// A kernel that counts nothing, and a file that makes no sense.
func TestEmptyAndTorn(t *testing.T) {
	if s, err := V2(group(t, nil)); err != nil || s.CPU.Usage != 0 {
		t.Errorf("%+v %v", s, err)
	}
	if _, err := V2(group(t, map[string]string{"memory.current": "x\n"})); err == nil {
		t.Error("a number that is none is taken")
	}
}

// Whatever a kernel prints, reading it ends and gives no panic.
func FuzzFiles(f *testing.F) {
	f.Add("8:0 rbytes=1 wbytes=max\n", "some avg10=0.00 total=5\n", "usage_usec 5\n")
	f.Add("8:0 Read 4096\nTotal 1\n", "full\n", "x\n 7 7 7\n-1")
	f.Fuzz(func(t *testing.T, io, pressure, table string) {
		dir := group(t, map[string]string{"io.stat": io, "memory.pressure": pressure, "cpu.stat": table, "rdma.max": io, "cpuacct.stat": table,
			"blkio.throttle.io_service_bytes": io, "cpuacct.usage_percpu": table, "hugetlb.2MB.current": "1"})
		_, _ = V2(dir)
		_, _ = V1(func(string) (string, bool) { return dir, true })
	})
}
