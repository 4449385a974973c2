package cgroup

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// file is the name of a file on the host's version, and the controller.
func file(v1, v2 string) (controller, name string) {
	if Detect() == V2 {
		return "", v2
	}
	controller, _, _ = strings.Cut(v1, ".")
	return controller, v1
}

// The order in which the kernel takes memory, and memory with swap, depends on
// whether they grow or shrink; an update that fails leaves all as it was.
func TestUpdate(t *testing.T) {
	const mib = 1 << 20
	g := newGroup(t, &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr[int64](64 * mib), Swap: ptr[int64](64 * mib)},
		CPU:    &specs.LinuxCPU{Quota: ptr[int64](50_000), Shares: ptr[uint64](512)}, Pids: &specs.LinuxPids{Limit: ptr[int64](50)},
	})
	limits := func() string {
		var b strings.Builder
		for _, f := range [][2]string{{"memory.limit_in_bytes", "memory.max"}, {"pids.max", "pids.max"}, {"cpu.shares", "cpu.weight"}} {
			controller, name := file(f[0], f[1])
			b.WriteString(g.read(t, controller, name) + " ")
		}
		return b.String()
	}
	shares := map[Mode]string{V1: "512", V2: "59"}[Detect()]
	for _, tt := range []struct {
		name  string
		res   specs.LinuxResources
		fails string
		want  string
	}{
		{"grow", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr[int64](128 * mib), Swap: ptr[int64](256 * mib)}}, "", "134217728 50 " + shares + " "},
		{"shrink", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr[int64](32 * mib), Swap: ptr[int64](32 * mib)}}, "", "33554432 50 " + shares + " "},
		{"pids alone", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr[int64](70)}}, "", "33554432 70 " + shares + " "},
		{"nothing", specs.LinuxResources{}, "", "33554432 70 " + shares + " "},
		{"half bad", specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: ptr[int64](256 * mib), Swap: ptr[int64](256 * mib)},
			Pids:   &specs.LinuxPids{Limit: ptr[int64](9)}, CPU: &specs.LinuxCPU{Shares: ptr[uint64](900), Cpus: "9999"}},
			`cpuset CPUs 9999 is refused by the kernel`, "33554432 70 " + shares + " "},
	} {
		_, err := g.Update(&tt.res)
		if tt.fails == "" && err != nil || tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := limits(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	if _, err := Open(g.path + "/nosuch").Update(&specs.LinuxResources{}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}

// On v2 a limit below what is used would kill.
func TestUpdateBelowUsage(t *testing.T) {
	l := fakeV2(t, "x")
	g := &Group{"/x", l}
	dir := l.hierarchies[0].dir("/x")
	for name, content := range map[string]string{"memory.current": "5000\n", "memory.max": "9000\n"} {
		if err := os.WriteFile(dir+"/"+name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := &specs.LinuxMemory{Limit: ptr[int64](4000), CheckBeforeUpdate: ptr(true)}
	if _, err := g.Update(&specs.LinuxResources{Memory: m}); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "memory limit 4000 is below the 5000 bytes in use") {
		t.Error(err)
	}
	m.Limit = ptr[int64](6000)
	if _, err := g.Update(&specs.LinuxResources{Memory: m}); err != nil || g.read(t, "", "memory.max") != "6000" {
		t.Error(err)
	}
}

func TestStats(t *testing.T) {
	g := newGroup(t, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr[int64](64 << 20)}, Pids: &specs.LinuxPids{Limit: ptr[int64](50)}})
	sleeper(t, g)
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if s.Pids.Current < 1 || s.Pids.Limit != 50 || s.Memory.Memory.Limit != 64<<20 || len(s.Memory.Raw) == 0 {
		t.Errorf("%+v", s)
	}
	if _, err := Open(g.path + "/nosuch").Stats(); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}

// Memory that is out is told, and so is that nobody is left.
func TestWatchOOM(t *testing.T) {
	const limit = 16 << 20
	g := newGroup(t, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr[int64](limit), Swap: ptr[int64](limit)}})
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sleeperEnv+"=eat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	joined := g.join(cmd.Process.Pid)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	events, over := make(chan struct{}, 100), make(chan error, 1)
	go func() { over <- g.WatchOOM(ctx, func() { events <- struct{}{} }) }()
	stdin.Close()
	if err := cmd.Wait(); joined != nil || err == nil {
		t.Fatal(joined, err)
	}
	if _, ok := g.layout.unified(); !ok { // v1 alone: only the removal ends it
		if err := g.Remove(ctx); err != nil {
			t.Error(err)
		}
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	// The watch may have begun after the kill; the group's own counter then has it.
	if killed, err := g.OOMKilled(); len(events) == 0 && (!killed || err != nil) {
		t.Error("no event", killed, err)
	}
}

func TestWatchOOMIsEnded(t *testing.T) {
	g := newGroup(t, nil)
	sleeper(t, g)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- g.WatchOOM(ctx, func() {}) }()
	cancel()
	if err := <-over; err != context.Canceled {
		t.Error(err)
	}
}
