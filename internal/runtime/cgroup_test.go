package runtime_test

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/runtime"
	"github.com/berth-containers/berth/internal/sys/cgroup"
)

func TestCgroup(t *testing.T) {
	s := spec("sh", "-c", "grep -v -c ':/$' /proc/self/cgroup; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; dd if=/dev/zero bs=1 count=1 2>/dev/null | wc -c")
	limit := int64(50)
	s.Linux.CgroupsPath = cgroupPath(t)
	s.Linux.Resources = &specs.LinuxResources{
		Pids:    &specs.LinuxPids{Limit: &limit},
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
	}
	out, _, err := run(t, s, rootfs(t))
	if err != nil || out != "0\n50\n1\n" {
		t.Fatalf("%q, %v", out, err)
	}
	if pids, err := cgroup.Open(s.Linux.CgroupsPath).Pids(); err == nil && len(pids) > 0 {
		t.Errorf("left: %v", pids)
	}
}

func TestExecJoinsCgroupAndPauses(t *testing.T) {
	r := newRuntime(t)
	c, s := sleeper(t, r, func(s *specs.Spec) { s.Linux.CgroupsPath = cgroupPath(t) })
	out, _, err := execIn(t, r, c, s, nil, "cat", "/proc/self/cgroup", "/proc/1/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if half := len(lines) / 2; strings.Join(lines[:half], "\n") != strings.Join(lines[half:], "\n") {
		t.Errorf("%q", lines)
	}
	if err := runtime.Pause(c.CgroupPath); err != nil {
		t.Fatal(err)
	}
	if err := runtime.Resume(c.CgroupPath); err != nil {
		t.Fatal(err)
	}
	if killed, err := runtime.OOMKilled(c.CgroupPath); err != nil || killed {
		t.Error(killed, err)
	}
}

func TestOOMKill(t *testing.T) {
	limit := int64(16 << 20)
	s := spec("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
	s.Linux.CgroupsPath = cgroupPath(t)
	s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &limit}}
	r := newRuntime(t)
	c, err := r.Create(bounded(t), runtime.CreateOptions{ID: "oom", Spec: s, Rootfs: rootfs(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if code := wait(t, c.Pid); code != 137 {
		t.Errorf("code %d", code)
	}
	c.Pidfd.Close()
	if killed, err := runtime.OOMKilled(c.CgroupPath); err != nil || !killed {
		t.Error(killed, err)
	}
	if err := r.RemoveCgroup(c.CgroupPath); err != nil {
		t.Error(err)
	}
}

// The cgroup is shown as the root of its hierarchy, read-only or not, and
// without a namespace on v1 as the own part of the host's.
func TestCgroupMounts(t *testing.T) {
	for _, tc := range []struct {
		name    string
		options []string
		shared  bool
		want    string
	}{
		{"read-only", []string{"ro", "nosuid"}, false, "/ Read-only file system"},
		{"writable", []string{"nosuid"}, false, "/"},
		{"of the host", []string{"ro"}, true, "own Read-only file system"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spec("sh", "-c", `at=/sys/fs/cgroup/pids; test -d $at || at=/sys/fs/cgroup
				while read -r a b c root point rest; do test "$point" = $at && echo $root; done </proc/self/mountinfo
				mkdir $at/below 2>&1 | while read a b c d e; do echo "${e##*: }"; done; rm -r $at/below 2>/dev/null; true`)
			s.Linux.CgroupsPath = cgroupPath(t)
			for i := range s.Mounts {
				if s.Mounts[i].Type == "cgroup" {
					s.Mounts[i].Options = tc.options
				}
			}
			own := "/"
			if tc.shared {
				s.Linux.Namespaces = s.Linux.Namespaces[:5]
				if cgroup.Detect() != cgroup.V2 {
					own = s.Linux.CgroupsPath
				}
			}
			want := strings.Replace(tc.want, "own", own, 1)
			if got := strings.Join(strings.Fields(must(t, s, rootfs(t))), " "); !strings.HasPrefix(got, strings.Fields(want)[0]) || strings.Contains(got, "Read-only") != strings.Contains(want, "Read-only") {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// The init needs more than this and must not need it of the container's.
func TestMemoryFloor(t *testing.T) {
	s := spec("true")
	limit := int64(1 << 20)
	s.Linux.CgroupsPath, s.Linux.Resources = cgroupPath(t), &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	if out, code, err := run(t, s, rootfs(t)); err != nil || code != 0 {
		t.Errorf("code %d, %v: %s", code, err, out)
	}
}
