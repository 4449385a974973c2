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

// everything sets each limit once.
func everything() *specs.LinuxResources {
	disk := specs.LinuxBlockIODevice{Major: 8, Minor: 16}
	return &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Major: ptr[int64](10), Minor: ptr[int64](229), Access: "rw"}},
		Memory: &specs.LinuxMemory{Limit: ptr[int64](100), Swap: ptr[int64](150), Reservation: ptr[int64](50),
			Swappiness: ptr[uint64](9), DisableOOMKiller: ptr(true)},
		CPU:  &specs.LinuxCPU{Shares: ptr[uint64](1024), Quota: ptr[int64](5000), Period: ptr[uint64](10000), Cpus: "0-1", Mems: "0"},
		Pids: &specs.LinuxPids{Limit: ptr[int64](-1)},
		BlockIO: &specs.LinuxBlockIO{Weight: ptr[uint16](1000),
			ThrottleReadBpsDevice:  []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 1}},
			ThrottleWriteBpsDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 2}},
			ThrottleReadIOPSDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 3}}},
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 7}},
	}
}

func lines(list []setting) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

func TestSettingsV1(t *testing.T) {
	list, err := settingsV1(everything())
	if err != nil {
		t.Fatal(err)
	}
	want := `devices devices.deny = a
devices devices.allow = c 10:229 rw
devices devices.allow = c *:* m
devices devices.allow = b *:* m
devices devices.allow = c 1:3 rwm
devices devices.allow = c 1:5 rwm
devices devices.allow = c 1:7 rwm
devices devices.allow = c 1:8 rwm
devices devices.allow = c 1:9 rwm
devices devices.allow = c 5:0 rwm
devices devices.allow = c 5:2 rwm
devices devices.allow = c 136:* rwm
memory memory.limit_in_bytes = 100
memory memory.memsw.limit_in_bytes = 150
memory memory.soft_limit_in_bytes = 50
memory memory.swappiness = 9
memory memory.oom_control = 1
cpu cpu.shares = 1024
cpu cpu.cfs_period_us = 10000
cpu cpu.cfs_quota_us = 5000
cpuset cpuset.cpus = 0-1
cpuset cpuset.mems = 0
pids pids.max = max
blkio blkio.weight = 1000
blkio blkio.throttle.read_bps_device = 8:16 1
blkio blkio.throttle.write_bps_device = 8:16 2
blkio blkio.throttle.read_iops_device = 8:16 3
hugetlb hugetlb.2MB.limit_in_bytes = 7
`
	if got := lines(list); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestSettingsV2(t *testing.T) {
	res := everything()
	res.Unified = map[string]string{"memory.high": "90"}
	list, err := settingsV2(res)
	if err != nil {
		t.Fatal(err)
	}
	want := `memory memory.max = 100
memory memory.swap.max = 50
memory memory.low = 50
memory memory.swappiness = 9
memory memory.oom_control = 1
cpu cpu.weight = 100
cpu cpu.max = 5000 10000
cpuset cpuset.cpus = 0-1
cpuset cpuset.mems = 0
pids pids.max = max
io io.bfq.weight = 1000
io io.max = 8:16 rbps=1
io io.max = 8:16 wbps=2
io io.max = 8:16 riops=3
hugetlb hugetlb.2MB.max = 7
memory memory.high = 90
`
	if got := lines(list); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestRefusedResources(t *testing.T) {
	for _, tt := range []struct {
		res  specs.LinuxResources
		want string
	}{
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: ptr[int64](5)}}, "needs a memory limit"},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr[int64](9), Swap: ptr[int64](5)}}, "is below the memory limit"},
		{specs.LinuxResources{Unified: map[string]string{"../x": "1"}}, "is not a controller's file"},
		{specs.LinuxResources{Unified: map[string]string{"cgroup.procs": "1"}}, "is not a controller's file"},
	} {
		if _, err := settingsV2(&tt.res); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
	if _, err := settingsV1(&specs.LinuxResources{Unified: map[string]string{"memory.high": "1"}}); err == nil {
		t.Error("v1 takes unified resources")
	}
	for _, d := range []specs.LinuxDeviceCgroup{{Type: "x"}, {Access: "q"}, {Major: ptr[int64](-2)}, {Minor: ptr[int64](1 << 40)}} {
		if _, err := deviceRules([]specs.LinuxDeviceCgroup{d}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

func TestWeightOfShares(t *testing.T) {
	for shares, want := range map[uint64]uint64{0: 1, 2: 1, 1024: 100, 262144: 10000, 1 << 40: 10000} {
		if got := weightOfShares(shares); got != want {
			t.Errorf("%d: %d, want %d", shares, got, want)
		}
	}
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
	})
	if err != nil {
		t.Fatal(err)
	}
	// No file of swap or swappiness: Docker's warnings.
	if want := []string{noSwap(), noSwappiness()}; !slices.Equal(warnings, want) {
		t.Errorf("warnings %q, want %q", warnings, want)
	}
	if err := g.join(77); err != nil {
		t.Fatal(err)
	}
	want := `/berth/cgroup.subtree_control = +memory +pids
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
	if !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("%s\nwant\n%s", got, want)
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

// A limit without its controller is an error that names it, unless Docker warns.
func TestMissingController(t *testing.T) {
	g := &Group{"/x", fakeV2(t, "x")}
	_, err := g.limit(&specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 7}}})
	if err == nil || err.Error() != "hugepage limit 2MB 7: the kernel does not have hugetlb.2MB.max, or the hugetlb cgroup is not mounted" {
		t.Error(err)
	}
	none := &layout{}
	if _, _, err := create(none, "/x", nil); !errdefs.IsFailedPrecondition(err) {
		t.Error(err)
	}
}

func TestAllowsAll(t *testing.T) {
	for _, tt := range []struct {
		list []specs.LinuxDeviceCgroup
		want bool
	}{
		{nil, false},
		{[]specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}, true},
		{[]specs.LinuxDeviceCgroup{{Allow: true}, {Type: "c", Access: "w"}}, false},
		{[]specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "a", Access: "rwm"}}, true},
		{[]specs.LinuxDeviceCgroup{{Allow: true, Type: "a", Access: "rw"}}, false},
	} {
		rules, err := deviceRules(tt.list)
		if err != nil {
			t.Fatal(err)
		}
		if got := allowsAll(rules); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.list, got, tt.want)
		}
	}
}
