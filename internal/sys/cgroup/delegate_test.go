package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/sys/cgroup/kernfs"
)

// The container's root gets what makes groups and moves processes, not the
// limits, as the kernel's documentation has it.
func TestDelegate(t *testing.T) {
	const uid, gid = 12345, 54321
	l := fakeV2(t, "x")
	g := &Group{"/x", l}
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	if Detect() == V2 {
		real, _, err := Create(name(t), Options{Owner: &Owner{uid, gid}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := real.Remove(t.Context()); err != nil {
				t.Error(err)
			}
		})
		g = real
	} else if err := delegate(g, Owner{uid, gid}); err != nil {
		t.Fatal(err)
	}
	h, _ := g.layout.unified()
	for file, given := range map[string]bool{".": true, "cgroup.procs": true, "cgroup.subtree_control": true, "memory.max": false} {
		var st syscall.Stat_t
		err := syscall.Stat(filepath.Join(h.dir(g.path), file), &st)
		if err != nil || (st.Uid == uid && st.Gid == gid) != given {
			t.Errorf("%s is of %d:%d, given away: %v (%v)", file, st.Uid, st.Gid, given, err)
		}
	}
}

// Below a threaded group nothing can be a container's.
func TestThreadedParent(t *testing.T) {
	requireV2(t)
	parent := newGroup(t, nil)
	// By hand: a group that hands down controllers cannot have threaded ones.
	middle := Open(parent.path + "/threaded")
	if err := os.Mkdir(middle.Dir(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := kernfs.Write(filepath.Join(middle.Dir(), "cgroup.type"), "threaded"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Create(middle.path+"/x", Options{}); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "a group above is threaded") {
		t.Error(err)
	}
	if Open(middle.path + "/x").exists() {
		t.Error("the group is left behind")
	}
}

func TestPathsThatEscape(t *testing.T) {
	requireCgroups(t)
	for _, path := range []string{"/a/../../b", "..", "/..", "a/../b", "/a\nb"} {
		if _, _, err := Create(path, Options{}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("create %q: %v", path, err)
		}
		if _, err := Open("/a").Below(path); !errdefs.IsInvalidArgument(err) {
			t.Errorf("below %q: %v", path, err)
		}
	}
	if g, err := Open("/a").Below("b/c"); err != nil || g.path != "/a/b/c" {
		t.Error(g, err)
	}
}

// Of the unified keys, each file that the kernel has can be set, and an update
// that fails goes back.
func TestUnified(t *testing.T) {
	requireV2(t)
	g := newGroup(t, &specs.LinuxResources{Unified: map[string]string{"memory.high": "1048576", "pids.max": "7", "cpu.weight": "33"}})
	for file, want := range map[string]string{"memory.high": "1048576", "pids.max": "7", "cpu.weight": "33"} {
		if got := g.read(t, "", file); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
	_, err := g.Update(&specs.LinuxResources{Unified: map[string]string{"cpu.weight": "44", "memory.high": "x"}})
	if err == nil || !strings.Contains(err.Error(), "unified resource memory.high x is refused by the kernel") || g.read(t, "", "cpu.weight") != "33" {
		t.Error(err, g.read(t, "", "cpu.weight"))
	}
	_, _, err = Create(g.path+"-2", Options{Resources: &specs.LinuxResources{Unified: map[string]string{"memory.nosuch": "5"}}})
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "unified resource memory.nosuch 5: the kernel's memory controller does not have memory.nosuch") || Open(g.path+"-2").exists() {
		t.Error(err)
	}
}

// A burst above the quota, and a quota below the burst, depend on the order.
func TestQuotaAndBurst(t *testing.T) {
	requireV2(t)
	g := newGroup(t, &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr[int64](20_000), Burst: ptr[uint64](10_000)}})
	for _, tt := range []struct {
		quota int64
		burst uint64
		want  string
	}{{80_000, 70_000, "80000 100000 70000"}, {10_000, 5_000, "10000 100000 5000"}} {
		if _, err := g.Update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &tt.quota, Burst: &tt.burst}}); err != nil {
			t.Error(err)
		}
		if got := g.read(t, "", "cpu.max") + " " + g.read(t, "", "cpu.max.burst"); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
	s, err := g.Stats()
	if err != nil || s.CPU.Pressure == nil || s.Memory.Pressure == nil || s.IO.Pressure == nil {
		t.Errorf("pressure is not told: %+v %v", s, err)
	}
}

// Limits that the kernel takes for one device only.
func TestDeviceThrottles(t *testing.T) {
	requireV2(t)
	disk := specs.LinuxBlockIODevice{Major: 999, Minor: 1}
	_, _, err := Create(name(t), Options{Resources: &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{
		ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 5}}}}})
	if err == nil || !strings.Contains(err.Error(), "999:1 rbps=5 is refused by the kernel") || !strings.Contains(err.Error(), "there is no such device") {
		t.Error(err)
	}
}
