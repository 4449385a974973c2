package cgroup

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// requireV2 skips on a hybrid host; test/vm's machine is v2.
func requireV2(t *testing.T) {
	t.Helper()
	requireCgroups(t)
	if Detect() != V2 {
		t.Skip("needs a host with cgroup v2 only")
	}
}

func TestLimitsOfV2(t *testing.T) {
	requireV2(t)
	g := newGroup(t, &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr[int64](64 << 20), Reservation: ptr[int64](32 << 20)},
		CPU:    &specs.LinuxCPU{Shares: ptr[uint64](1024), Quota: ptr[int64](50_000)},
		Pids:   &specs.LinuxPids{Limit: ptr[int64](-1)},
	})
	for _, f := range [][2]string{
		{"memory.max", "67108864"}, {"memory.low", "33554432"}, {"cpu.weight", "100"}, {"cpu.max", "50000 100000"}, {"pids.max", "max"},
	} {
		if got := g.read(t, "", f[0]); got != f[1] {
			t.Errorf("%s: %s, want %s", f[0], got, f[1])
		}
	}
}

// A group that holds a process cannot hand controllers down.
func TestParentWithProcesses(t *testing.T) {
	requireV2(t)
	parent := newGroup(t, nil)
	sleeper(t, parent)
	below := parent.path + "/below"
	_, _, err := Create(below, Options{Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr[int64](5)}}})
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "holds processes") {
		t.Error(err)
	}
	if Open(below).exists() {
		t.Error("the group is left behind")
	}
	g, _, err := Create(below, Options{})
	if err != nil {
		t.Fatalf("without a limit: %v", err)
	}
	sleeper(t, g)
	if err := g.Remove(context.Background()); err != nil {
		t.Error(err)
	}
}

// A container that has groups of its own: a new process joins the first one's.
func TestOf(t *testing.T) {
	requireV2(t)
	g := newGroup(t, nil)
	below, _, err := Create(g.path+"/below", Options{Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr[int64](5)}}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := sleeper(t, below)
	if got, err := g.Of(cmd.Process.Pid); err != nil || got.path != below.path {
		t.Error(got, err)
	}
	if _, err := g.Of(os.Getpid()); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "--cgroup") {
		t.Error(err)
	}
}

func TestBornInGroup(t *testing.T) {
	requireV2(t)
	g := newGroup(t, nil)
	dir, err := os.Open(g.Dir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sleeperEnv+"=sleep")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	list, err := g.Pids()
	if err != nil || len(list) != 1 || list[0] != cmd.Process.Pid {
		t.Error(list, err)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
}

// On v1 and v2: the kernel's kill for memory is told from another.
func TestOOMKilled(t *testing.T) {
	const limit = 16 << 20
	g := newGroup(t, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr[int64](limit), Swap: ptr[int64](limit)}})
	if _, ok := g.layout.find("memory"); !ok {
		t.Skip("needs the memory controller")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sleeperEnv+"=eat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limitTime := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer limitTime.Stop()
	joined := g.join(cmd.Process.Pid)
	stdin.Close()
	err = cmd.Wait()
	if joined != nil || err == nil {
		t.Fatal(joined, err)
	}
	if killed, err := g.OOMKilled(); !killed || err != nil {
		t.Error(killed, err)
	}
}
