package runtime_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/runtime"
)

// The parts of a container's life, in microseconds each. go test -bench Run
func BenchmarkRun(b *testing.B) {
	r := newRuntime(b)
	root := rootfs(b)
	s := spec("true")
	if os.Getenv("BERTH_BENCH_CGROUP") != "" {
		s.Linux.CgroupsPath = "/berth-bench"
	}
	var create, start, exit time.Duration
	for b.Loop() {
		t0 := time.Now()
		c, err := r.Create(context.Background(), runtime.CreateOptions{ID: "bench", Spec: s, Rootfs: root, HoldMounts: true})
		if err != nil {
			b.Fatal(err)
		}
		t1 := time.Now()
		if err := c.Start(); err != nil {
			b.Fatal(err)
		}
		t2 := time.Now()
		wait(b, c.Pid)
		t3 := time.Now()
		c.Mounts.Close()
		c.Pidfd.Close()
		if err := r.RemoveCgroup(c.CgroupPath); err != nil {
			b.Fatal(err)
		}
		create, start, exit = create+t1.Sub(t0), start+t2.Sub(t1), exit+t3.Sub(t2)
	}
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.N) }
	b.ReportMetric(per(create), "create-µs")
	b.ReportMetric(per(start), "start-µs")
	b.ReportMetric(per(exit), "exit-µs")
}

func BenchmarkExec(b *testing.B) {
	r := newRuntime(b)
	s := spec("sleep", "1000")
	c, err := r.Create(context.Background(), runtime.CreateOptions{ID: "bench", Spec: s, Rootfs: rootfs(b)})
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	p := *s.Process
	p.Args = []string{"true"}
	for b.Loop() {
		proc, err := r.Exec(context.Background(), runtime.ExecOptions{Pid: c.Pid, Spec: s, Process: &p})
		if err != nil {
			b.Fatal(err)
		}
		wait(b, proc.Pid)
		proc.Pidfd.Close()
	}
	if err := c.Pidfd.Close(); err != nil {
		b.Fatal(err)
	}
	kill(b, c.Pid)
}
