package cgroup

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestReadMounts(t *testing.T) {
	const hybrid = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:32 / /elsewhere rw,relatime - cgroup cgroup rw,memory
37 31 0:33 / /sys/fs/cgroup/elogind rw,relatime - cgroup cgroup rw,name=elogind
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
`
	for _, tt := range []struct{ name, mounts, want string }{
		{"nothing", "22 27 0:21 / /proc rw - proc proc rw\n", "mode 0"},
		{"v2", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n", "mode 2 /sys/fs/cgroup[]"},
		{"legacy", hybrid, "mode 1 /sys/fs/cgroup/cpu,cpuacct[cpu cpuacct] /sys/fs/cgroup/memory[memory] /sys/fs/cgroup/systemd[name=systemd]"},
		{"hybrid", hybrid + "41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw\n",
			"mode 1 /sys/fs/cgroup/cpu,cpuacct[cpu cpuacct] /sys/fs/cgroup/memory[memory] /sys/fs/cgroup/systemd[name=systemd] /sys/fs/cgroup/uni fied[]"},
		{"v2 and systemd's name", "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "mode 2 /sys/fs/cgroup[]"},
		{"torn lines", "32 31 - cgroup\n\nx - y z\n", "mode 0"},
	} {
		l, err := readMounts(strings.NewReader(tt.mounts))
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("mode %d", l.mode)
		for _, h := range l.hierarchies {
			got += fmt.Sprintf(" %s%v", h.root, h.controllers)
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func FuzzReadMounts(f *testing.F) {
	f.Add("32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:5 - cgroup cgroup rw,cpu\n")
	f.Add("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
	f.Fuzz(func(t *testing.T, mounts string) {
		l, err := readMounts(strings.NewReader(mounts))
		if err == nil && (l.mode == None) != (len(l.hierarchies) == 0) {
			t.Errorf("%q: mode %d with %v", mounts, l.mode, l.hierarchies)
		}
	})
}

// fakeV2 is a unified hierarchy as plain files: the kernel's part, to make
// files appear in a new group, is done by hand.
func fakeV2(t *testing.T, groups ...string) *layout {
	t.Helper()
	root := t.TempDir()
	for _, g := range append([]string{""}, groups...) {
		dir := filepath.Join(root, g)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, content := range map[string]string{"cgroup.controllers": "cpu memory pids", "cgroup.subtree_control": "cpu", "memory.max": "", "pids.max": "",
			"memory.events": "oom 2\noom_kill 1\n", "cgroup.procs": "", "cgroup.freeze": "0", "cgroup.events": "populated 0\nfrozen 1\n"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return &layout{mode: V2, hierarchies: []hierarchy{{root: root, unified: true}}}
}

// tree prints the files that are not as fakeV2 makes them.
func tree(t *testing.T, l *layout, files ...string) string {
	t.Helper()
	var b strings.Builder
	root := l.hierarchies[0].root
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !slices.Contains(files, d.Name()) {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s = %s\n", strings.TrimPrefix(path, root), data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFakeV2(t *testing.T) {
	l := fakeV2(t, "berth", "berth/x")
	g := &Group{"/berth/x", l}
	warnings, err := g.limit(&specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: ptr[int64](100), Swap: ptr[int64](100), Swappiness: ptr[uint64](1)},
		Pids:    &specs.LinuxPids{Limit: ptr[int64](5)},
		Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}},
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	// No file of swap or swappiness: Docker's warnings.
	want := []string{
		"Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
		"Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
	}
	if !slices.Equal(warnings, want) {
		t.Errorf("warnings %q, want %q", warnings, want)
	}
	if err := g.join(77); err != nil {
		t.Fatal(err)
	}
	files := `/berth/cgroup.subtree_control = +memory +pids
/berth/x/cgroup.procs = 77
/berth/x/cgroup.subtree_control = cpu
/berth/x/memory.max = 100
/berth/x/pids.max = 5
/berth/cgroup.procs = 
/berth/memory.max = 
/berth/pids.max = 
/cgroup.procs = 
/cgroup.subtree_control = +memory +pids
/memory.max = 
/pids.max = 
`
	got := tree(t, l, "cgroup.subtree_control", "memory.max", "pids.max", "cgroup.procs")
	if !slices.Equal(sorted(got), sorted(files)) {
		t.Errorf("%s\nwant\n%s", got, files)
	}
	if killed, err := g.OOMKilled(); !killed || err != nil {
		t.Error(killed, err)
	}
	if list, err := g.Pids(); err != nil || !slices.Equal(list, []int{77}) {
		t.Error(list, err)
	}
	if is, err := frozen(g); !is || err != nil {
		t.Error(is, err)
	}
	if err := g.Freeze(); err != nil || !strings.Contains(tree(t, l, "cgroup.freeze"), "/berth/x/cgroup.freeze = 1") {
		t.Error(err, tree(t, l, "cgroup.freeze"))
	}
	if g.Dir() != filepath.Join(l.hierarchies[0].root, "berth/x") {
		t.Error(g.Dir())
	}
}

func sorted(s string) []string { return slices.Sorted(strings.SplitSeq(s, "\n")) }

// A limit without its controller is an error that names it and the next step.
func TestMissingController(t *testing.T) {
	g := &Group{"/x", fakeV2(t, "x")}
	for _, tt := range []struct {
		res  specs.LinuxResources
		want string
	}{
		{specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 7}}},
			"hugepage limit 2MB 7: the kernel has no hugetlb controller, or it is not mounted; start the kernel with it (cgroup_enable=hugetlb) or take the limit out"},
		{specs.LinuxResources{Unified: map[string]string{"memory.nosuch": "5"}}, "unified resource memory.nosuch 5: the kernel's memory controller does not have memory.nosuch"},
		{specs.LinuxResources{Unified: map[string]string{"frob.max": "5"}}, "unified resource frob.max 5: the kernel has no frob controller"},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr[int64](9), Swap: ptr[int64](9)}}, "swap limit 0: the kernel's memory controller does not have memory.swap.max"},
		{specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr[uint32](5)}}, "network class 5: the net_cls controller is of cgroup v1"},
	} {
		if _, err := g.limit(&tt.res, false); !errdefs.IsFailedPrecondition(err) || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
	none := &layout{}
	if _, _, err := create(none, "/x", Options{}); !errdefs.IsFailedPrecondition(err) {
		t.Error(err)
	}
}
