package command_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/cgroup/systemd/systemdtest"
)

// place does what systemd does with a new scope: it makes the group in the
// hierarchies that it keeps and moves the process there.
func place(t *testing.T, path string, pid uint32) {
	dirs := []string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"}
	if cgroup.Detect() == cgroup.V2 {
		dirs = []string{"/sys/fs/cgroup"}
	}
	for _, d := range dirs {
		err := os.Mkdir(filepath.Join(d, path), 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(d, path, "cgroup.procs"), []byte(strconv.Itoa(int(pid))), 0)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// A container of systemd's has all its limits, also those that systemd has no
// property for, and its unit goes with it.
func TestSystemdCgroup(t *testing.T) {
	b := newBundle(t, "sleep", "60")
	path := "/" + b.id + "-web.scope"
	fake := &systemdtest.Manager{OnStart: func(_ string, properties map[string]any) {
		place(t, path, properties["PIDs"].([]uint32)[0])
	}}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+fake.Start(t))
	limit := int64(33)
	b.edit(func(s *specs.Spec) {
		s.Linux.CgroupsPath = "-.slice:" + b.id + ":web"
		s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit}
		s.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "0"}
		s.Annotations = map[string]string{"org.systemd.property.TimeoutStopSec": "5", "org.systemd.property.CollectMode": "'inactive-or-failed'"}
	})
	b.must("--systemd-cgroup", "create", b.id)
	deleted := false
	t.Cleanup(func() {
		if !deleted {
			b.run("delete", "--force", b.id)
		}
	})
	b.must("start", b.id)
	group := cgroup.Open(path)
	var pids []int
	if err := json.Unmarshal([]byte(b.must("ps", "--format", "json", b.id)), &pids); err != nil || len(pids) != 1 {
		t.Error(pids, err)
	}
	own, err := os.ReadFile("/proc/" + strconv.Itoa(pids[0]) + "/cgroup")
	if err != nil || strings.Count(string(own), path+"\n") != strings.Count(string(own), "\n") {
		t.Errorf("the container is not in its group in each hierarchy:\n%s%v", own, err)
	}
	if s, err := group.Stats(); err != nil || s.Pids.Limit != 33 {
		t.Errorf("%+v %v", s.Pids, err)
	}
	b.must("update", "--pids-limit", "44", b.id)
	if s, err := group.Stats(); err != nil || s.Pids.Limit != 44 {
		t.Errorf("after update: %+v %v", s.Pids, err)
	}
	b.must("delete", "--force", b.id)
	deleted = true
	if _, err := group.Stats(); err == nil {
		t.Error("the cgroup is left behind")
	}
	calls := fake.String()
	for _, want := range []string{"StartTransientUnit " + b.id + "-web.scope replace", `Slice = "-.slice"`, "Delegate = true", "TasksMax = @t 33",
		"TimeoutStopUSec = @t 5000000", `CollectMode = "inactive-or-failed"`,
		"SetUnitProperties " + b.id + "-web.scope true\n  TasksMax = @t 44", "StopUnit " + b.id + "-web.scope replace"} {
		if !strings.Contains(calls, want) {
			t.Errorf("%q is not in what systemd was asked:\n%s", want, calls)
		}
	}
}

// An error that is found once the unit runs takes it away again.
func TestSystemdCgroupIsTakenBack(t *testing.T) {
	b := newBundle(t, "true")
	path := "/" + b.id + "-bad.scope"
	fake := &systemdtest.Manager{OnStart: func(_ string, properties map[string]any) {
		place(t, path, properties["PIDs"].([]uint32)[0])
	}}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+fake.Start(t))
	b.edit(func(s *specs.Spec) {
		s.Linux.CgroupsPath = "-.slice:" + b.id + ":bad"
		s.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "4000"}
	})
	out, code := b.run("--systemd-cgroup", "create", b.id)
	if code == 0 || !strings.Contains(out, "cpuset CPUs 4000 is refused by the kernel") {
		t.Errorf("code %d: %s", code, out)
	}
	if !strings.Contains(fake.String(), "StopUnit "+b.id+"-bad.scope") {
		t.Error(fake)
	}
	if _, err := cgroup.Open(path).Stats(); err == nil {
		t.Error("the cgroup is left behind")
	}
}

// The two forms of a path are told apart, and who does not answer is named.
func TestSystemdCgroupBadInput(t *testing.T) {
	b := newBundle(t, "true")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nosuch/bus")
	for _, tt := range []struct {
		path, want string
		systemd    bool
	}{
		{"/x/y", "give slice:prefix:name", true},
		{"a:b:c", "not a slice's name", true},
		{"a.slice:b:c", "systemd does not answer", true},
		{"a.slice:b:c.slice", "names a slice, which holds no process", true},
		{"a.slice:b:c", "use --systemd-cgroup", false},
	} {
		b.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = tt.path })
		args := []string{"create", b.id}
		if tt.systemd {
			args = append([]string{"--systemd-cgroup"}, args...)
		}
		if out, code := b.run(args...); code == 0 || !strings.Contains(out, tt.want) {
			t.Errorf("%s: code %d: %s, want %s", tt.path, code, out, tt.want)
		}
	}
}
