package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/cgroup/device"
)

// sleeperEnv makes the test binary a process that waits to be killed.
const sleeperEnv = "BERTH_TEST_CGROUP_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(sleeperEnv) {
	case "sleep":
		time.Sleep(time.Minute)
		os.Exit(0)
	case "eat": // more than any limit here, once it was moved
		_, _ = os.Stdin.Read(make([]byte, 1))
		const size = 256 << 20
		hunger := make([]byte, size)
		for i := 0; i < size; i += 4096 {
			hunger[i] = 1
		}
		os.Exit(0)
	case "open": // waits until it was moved
		_, _ = os.Stdin.Read(make([]byte, 1))
		for _, path := range []string{"/dev/null", "/dev/kmsg"} {
			f, err := os.Open(path)
			fmt.Println(path, errors.Is(err, unix.EPERM))
			if err == nil {
				f.Close()
			}
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// requireCgroups skips where groups cannot be made.
func requireCgroups(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 || Detect() == None {
		t.Skip("needs root and a cgroup hierarchy")
	}
}

func name(t *testing.T) string {
	return fmt.Sprintf("/berth-test-%d-%s", os.Getpid(), strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")))
}

func newGroup(t *testing.T, res *specs.LinuxResources) *Group {
	t.Helper()
	requireCgroups(t)
	g, warnings, err := Create(name(t), Options{Resources: res, Discard: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Log(w)
	}
	t.Cleanup(func() {
		if err := g.Remove(context.Background()); err != nil {
			t.Error(err)
		}
		if g.exists() {
			t.Error("the group is left behind")
		}
	})
	return g
}

// sleeper starts a process in the group; it is reaped at the end.
func sleeper(t *testing.T, g *Group) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sleeperEnv+"=sleep")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if err := g.join(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func ptr[T any](v T) *T { return &v }

func (g *Group) read(t *testing.T, controller, file string) string {
	t.Helper()
	h, _ := g.layout.find(controller)
	data, err := os.ReadFile(filepath.Join(h.dir(g.path), file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func TestLimitsOfTheKernel(t *testing.T) {
	g := newGroup(t, &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr[int64](64 << 20), Reservation: ptr[int64](32 << 20), Swap: ptr[int64](128 << 20)},
		CPU:    &specs.LinuxCPU{Shares: ptr[uint64](512), Quota: ptr[int64](50_000), Period: ptr[uint64](100_000), Cpus: "0", Mems: "0"},
		Pids:   &specs.LinuxPids{Limit: ptr[int64](50)},
	})
	files := map[string][3]string{
		"memory": {"memory.limit_in_bytes", "memory.max", "67108864"},
		"pids":   {"pids.max", "pids.max", "50"},
		"cpuset": {"cpuset.cpus", "cpuset.cpus", "0"},
	}
	for controller, f := range files {
		file := f[0]
		if Detect() == V2 {
			file = f[1]
		}
		if got := g.read(t, controller, file); got != f[2] {
			t.Errorf("%s: %s, want %s", file, got, f[2])
		}
	}
}

func TestRefusedLimit(t *testing.T) {
	requireCgroups(t)
	_, _, err := Create(name(t), Options{Resources: &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "9999"}}})
	if err == nil || !strings.Contains(err.Error(), `cpuset CPUs 9999 is refused by the kernel: write "9999" to /`) || !strings.Contains(err.Error(), "cpuset.cpus") {
		t.Error(err)
	}
	if Open(name(t)).exists() {
		t.Error("the group is left behind")
	}
}

func TestCreateOnAnother(t *testing.T) {
	g := newGroup(t, nil)
	if _, _, err := Create(g.path, Options{}); err != nil {
		t.Errorf("an empty group is not replaced: %v", err)
	}
	sleeper(t, g)
	if _, _, err := Create(g.path, Options{}); !errdefs.IsConflict(err) {
		t.Errorf("a group that is in use: %v", err)
	}
	if err := g.RemoveEmpty(); !errdefs.IsConflict(err) {
		t.Errorf("remove a group that is in use: %v", err)
	}
}

func TestJoinListKill(t *testing.T) {
	g := newGroup(t, nil)
	a := sleeper(t, g)
	list, err := g.Pids()
	if err != nil || len(list) != 1 || list[0] != a.Process.Pid {
		t.Fatal(list, err)
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := a.Wait(); err == nil || a.ProcessState.Sys().(interface{ Signal() unix.Signal }).Signal() != unix.SIGKILL {
		t.Error(err)
	}
	if killed, err := g.OOMKilled(); killed || err != nil {
		t.Error(killed, err)
	}
}

func TestFreeze(t *testing.T) {
	g := newGroup(t, nil)
	sleeper(t, g)
	for _, want := range []bool{true, false} {
		f := g.Thaw
		if want {
			f = g.Freeze
		}
		if err := f(); err != nil {
			t.Fatal(err)
		}
		if !want && Detect() == V2 {
			continue // thawing is not waited for
		}
		if got, err := frozen(g); got != want || err != nil {
			t.Fatal(got, err)
		}
	}
}

func frozen(g *Group) (bool, error) {
	f, err := g.freezer()
	if err != nil {
		return false, err
	}
	return f.frozen()
}

// A frozen process, and a group that the container made below, go too.
func TestRemoveWithLeftovers(t *testing.T) {
	g := newGroup(t, nil)
	below, _, err := Create(g.path+"/below/further", Options{})
	if err != nil {
		t.Fatal(err)
	}
	cmd := sleeper(t, below)
	if err := g.Freeze(); err != nil {
		t.Fatal(err)
	}
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		_ = cmd.Wait()
	}()
	if err := g.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-reaped
	if err := g.Remove(t.Context()); err != nil {
		t.Errorf("remove a second time: %v", err)
	}
}

func TestRootIsRefused(t *testing.T) {
	requireCgroups(t)
	for _, path := range []string{"/", "", "..", "/a/.."} {
		if _, _, err := Create(path, Options{}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("create %q: %v", path, err)
		}
		if err := Open(path).Remove(t.Context()); !errdefs.IsInvalidArgument(err) {
			t.Errorf("remove %q: %v", path, err)
		}
	}
	if _, _, err := Create("system.slice:berth:x", Options{}); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}

// The rules of devices are asked for by a process in the group, v1 or v2.
func TestDevices(t *testing.T) {
	g := newGroup(t, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}})
	if got := openDevices(t, g); got != "/dev/null false\n/dev/kmsg true\n" {
		t.Error(got)
	}
}

// On a hybrid host the program of v2 can be tried in the unified hierarchy.
func TestDeviceProgram(t *testing.T) {
	requireCgroups(t)
	h, ok := current().unified()
	if !ok {
		t.Skip("needs a unified hierarchy")
	}
	g := newGroup(t, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}})
	g = &Group{g.path, &layout{mode: V2, hierarchies: []hierarchy{h}}}
	rules, err := device.Parse([]specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}})
	if err != nil {
		t.Fatal(err)
	}
	err = g.limitDevices(rules)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := openDevices(t, g); got != "/dev/null false\n/dev/kmsg true\n" {
		t.Error(got)
	}
}

func openDevices(t *testing.T, g *Group) string {
	t.Helper()
	if _, err := os.Stat("/dev/kmsg"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs /dev/kmsg")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sleeperEnv+"=open")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	joined := g.join(cmd.Process.Pid)
	stdin.Close()
	if err := cmd.Wait(); err != nil || joined != nil {
		t.Fatal(err, joined)
	}
	return out.String()
}

// Groups below a parent that comes and goes, at once.
func TestConcurrentCreates(t *testing.T) {
	requireCgroups(t)
	parent := Open(name(t))
	t.Cleanup(func() {
		if err := parent.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	errs := make(chan error)
	const n, rounds = 8, 10
	for i := range n {
		go func() {
			for range rounds {
				g, _, err := Create(fmt.Sprintf("%s/%d", parent.path, i), Options{})
				if err == nil {
					err = g.Remove(context.Background())
				}
				if failed := parent.RemoveEmpty(); !errdefs.IsConflict(failed) {
					err = errors.Join(err, failed)
				}
				errs <- err
			}
		}()
	}
	for range n * rounds {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if parent.exists() {
		t.Errorf("%s stays though nothing is in it", parent.path)
	}
}

func BenchmarkCreateRemove(b *testing.B) {
	if os.Getuid() != 0 || Detect() == None {
		b.Skip("needs root and a cgroup hierarchy")
	}
	for b.Loop() {
		g, _, err := Create(fmt.Sprintf("/berth-test-%d-bench", os.Getpid()), Options{Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}})
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Remove(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
