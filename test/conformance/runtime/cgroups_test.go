package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/test/harness"
)

// knob reads a file of the container's cgroup, in the hierarchy that has it.
func (b *bundle) knob(name string) (string, bool) {
	for _, root := range harness.CgroupRoots() {
		if c, err := os.ReadFile(filepath.Join(root, b.cgroup, name)); err == nil {
			return strings.TrimSpace(string(c)), true
		}
	}
	return "", false
}

// limit is a setting and where it is seen. A pattern in place of a file: it must
// be refused with such an error, as the hierarchy cannot do it.
type limit struct {
	name      string
	resources specs.LinuxResources
	v1, v2    [][2]string // file and value
	refusedV1 string
	refusedV2 string
}

const mib = 1 << 20

func memory(m specs.LinuxMemory) specs.LinuxResources { return specs.LinuxResources{Memory: &m} }
func cpu(c specs.LinuxCPU) specs.LinuxResources       { return specs.LinuxResources{CPU: &c} }

func limits() []limit {
	return []limit{
		{name: "memory", resources: memory(specs.LinuxMemory{Limit: ptr(int64(64 * mib))}),
			v1: [][2]string{{"memory.limit_in_bytes", "67108864"}}, v2: [][2]string{{"memory.max", "67108864"}}},
		{name: "memory unlimited", resources: memory(specs.LinuxMemory{Limit: ptr(int64(-1))}),
			v1: [][2]string{{"memory.limit_in_bytes", "9223372036854771712"}}, v2: [][2]string{{"memory.max", "max"}}},
		{name: "memory and swap", resources: memory(specs.LinuxMemory{Limit: ptr(int64(64 * mib)), Swap: ptr(int64(96 * mib))}),
			v1: [][2]string{{"memory.memsw.limit_in_bytes", "100663296"}}, v2: [][2]string{{"memory.swap.max", "33554432"}}},
		{name: "reservation", resources: memory(specs.LinuxMemory{Reservation: ptr(int64(32 * mib))}),
			v1: [][2]string{{"memory.soft_limit_in_bytes", "33554432"}}, v2: [][2]string{{"memory.low", "33554432"}}},
		{name: "swappiness", resources: memory(specs.LinuxMemory{Swappiness: ptr(uint64(13))}), v1: [][2]string{{"memory.swappiness", "13"}}, refusedV2: "swappiness"},
		{name: "no OOM killer", resources: memory(specs.LinuxMemory{Limit: ptr(int64(64 * mib)), DisableOOMKiller: ptr(true)}),
			v1: [][2]string{{"memory.oom_control", "oom_kill_disable 1\nunder_oom 0\noom_kill 0"}}, refusedV2: "disableOOMKiller"},
		{name: "OOM killer", resources: memory(specs.LinuxMemory{DisableOOMKiller: ptr(false)}),
			v1: [][2]string{{"memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0"}}, v2: [][2]string{{"cgroup.type", "domain"}}},
		{name: "hierarchy", resources: memory(specs.LinuxMemory{UseHierarchy: ptr(true)}), v1: [][2]string{{"memory.use_hierarchy", "1"}}, v2: [][2]string{{"cgroup.type", "domain"}}},
		{name: "TCP memory", resources: memory(specs.LinuxMemory{KernelTCP: ptr(int64(48 * mib))}), v1: [][2]string{{"memory.kmem.tcp.limit_in_bytes", "50331648"}}, refusedV2: "kernelTCP"},
		{name: "shares", resources: cpu(specs.LinuxCPU{Shares: ptr(uint64(512))}), v1: [][2]string{{"cpu.shares", "512"}}, v2: nil},
		{name: "quota", resources: cpu(specs.LinuxCPU{Quota: ptr(int64(20000)), Period: ptr(uint64(50000)), Burst: ptr(uint64(10000))}),
			v1: [][2]string{{"cpu.cfs_quota_us", "20000"}, {"cpu.cfs_period_us", "50000"}, {"cpu.cfs_burst_us", "10000"}},
			v2: [][2]string{{"cpu.max", "20000 50000"}, {"cpu.max.burst", "10000"}}},
		{name: "period alone", resources: cpu(specs.LinuxCPU{Period: ptr(uint64(50000))}), v1: [][2]string{{"cpu.cfs_period_us", "50000"}}, v2: [][2]string{{"cpu.max", "max 50000"}}},
		{name: "burst above quota", resources: cpu(specs.LinuxCPU{Quota: ptr(int64(20000)), Burst: ptr(uint64(30000))}), refusedV1: "burst", refusedV2: "burst"},
		{name: "idle", resources: cpu(specs.LinuxCPU{Idle: ptr(int64(1))}), v1: [][2]string{{"cpu.idle", "1"}}, v2: [][2]string{{"cpu.idle", "1"}}},
		{name: "cpuset", resources: cpu(specs.LinuxCPU{Cpus: "0", Mems: "0"}), v1: [][2]string{{"cpuset.cpus", "0"}, {"cpuset.mems", "0"}}, v2: [][2]string{{"cpuset.cpus", "0"}, {"cpuset.mems", "0"}}},
		{name: "cpuset of no CPU", resources: cpu(specs.LinuxCPU{Cpus: "4000"}), refusedV1: "cpus|4000", refusedV2: "cpus|4000"},
		{name: "pids", resources: specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(77))}}, v1: [][2]string{{"pids.max", "77"}}, v2: [][2]string{{"pids.max", "77"}}},
		{name: "pids unlimited", resources: specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}, v1: [][2]string{{"pids.max", "max"}}, v2: [][2]string{{"pids.max", "max"}}},
		{name: "net_cls", resources: specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(0x10001))}}, refusedV1: "classID|net_cls", refusedV2: "classID|net_cls"},
		{name: "net_prio", resources: specs.LinuxResources{Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 5}}}},
			refusedV1: "priorities|net_prio", refusedV2: "priorities|net_prio"},
	}
}

func TestLimits(t *testing.T) {
	for _, l := range limits() {
		t.Run(l.name, func(t *testing.T) {
			b := newBundle(t, "/bin/sleep", "600")
			devices := b.spec.Linux.Resources.Devices
			*b.spec.Linux.Resources = l.resources
			b.spec.Linux.Resources.Devices = devices
			want, refused := l.v1, l.refusedV1
			if unified() {
				want, refused = l.v2, l.refusedV2
			}
			if refused != "" {
				b.fails(refused)
				return
			}
			b.create()
			for _, w := range want {
				if got, ok := b.knob(w[0]); !ok || got != w[1] {
					t.Errorf("%s is %q, want %q", w[0], got, w[1])
				}
			}
		})
	}
}

// blockDevice is one that the host has.
func blockDevice(t *testing.T) specs.LinuxBlockIODevice {
	t.Helper()
	names, _ := filepath.Glob("/sys/block/*/dev")
	for _, name := range slices.Backward(names) {
		major, minor, ok := strings.Cut(strings.TrimSpace(read(name)), ":")
		a, errA := strconv.ParseInt(major, 10, 64)
		i, errI := strconv.ParseInt(minor, 10, 64)
		if ok && errA == nil && errI == nil {
			return specs.LinuxBlockIODevice{Major: a, Minor: i}
		}
	}
	t.Fatal("the host has no block device")
	return specs.LinuxBlockIODevice{}
}

func TestBlockIOThrottle(t *testing.T) {
	b := newBundle(t, "/bin/sleep", "600")
	d := blockDevice(t)
	rate := func(n uint64) []specs.LinuxThrottleDevice {
		return []specs.LinuxThrottleDevice{{LinuxBlockIODevice: d, Rate: n}}
	}
	b.spec.Linux.Resources.BlockIO = &specs.LinuxBlockIO{ThrottleReadBpsDevice: rate(1 << 20), ThrottleWriteBpsDevice: rate(2 << 20), ThrottleReadIOPSDevice: rate(300), ThrottleWriteIOPSDevice: rate(400)}
	b.create()
	name := strconv.FormatInt(d.Major, 10) + ":" + strconv.FormatInt(d.Minor, 10)
	want := [][2]string{{"blkio.throttle.read_bps_device", name + " 1048576"}, {"blkio.throttle.write_bps_device", name + " 2097152"},
		{"blkio.throttle.read_iops_device", name + " 300"}, {"blkio.throttle.write_iops_device", name + " 400"}}
	if unified() {
		want = [][2]string{{"io.max", name + " rbps=1048576 wbps=2097152 riops=300 wiops=400"}}
	}
	for _, w := range want {
		if got, _ := b.knob(w[0]); got != w[1] {
			t.Errorf("%s is %q, want %q", w[0], got, w[1])
		}
	}
}

func TestRealtime(t *testing.T) {
	b := newBundle(t, "/bin/sleep", "600")
	b.spec.Linux.Resources.CPU = &specs.LinuxCPU{RealtimeRuntime: ptr(int64(1000)), RealtimePeriod: ptr(uint64(500000))}
	if unified() {
		b.fails("real-time")
		return
	}
	b.create()
	for file, want := range map[string]string{"cpu.rt_runtime_us": "1000", "cpu.rt_period_us": "500000"} {
		if got, _ := b.knob(file); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
}

func TestUnified(t *testing.T) {
	b := newBundle(t, "/bin/sleep", "600")
	if !unified() {
		b.spec.Linux.Resources.Unified = map[string]string{"memory.high": "67108864"}
		b.fails("memory.high|unified")
		return
	}
	b.spec.Linux.Resources.Unified = map[string]string{"memory.high": "67108864", "pids.max": "44", "cpu.weight": "50"}
	b.create()
	for file, want := range b.spec.Linux.Resources.Unified {
		if got, _ := b.knob(file); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	for key, want := range map[string]string{"nosuch.controller": "nosuch", "memory.nosuch": "memory.nosuch", "../../x": `\.\.`} {
		b := newBundle(t)
		b.spec.Linux.Resources.Unified = map[string]string{key: "1"}
		b.fails(want)
	}
}

func TestIntelRdt(t *testing.T) {
	if _, err := os.Stat("/sys/fs/resctrl/schemata"); err == nil {
		t.Skip("the host has resctrl mounted: what it allows is the host's")
	}
	b := newBundle(t)
	b.spec.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "one", Schemata: []string{"L3:0=f"}, L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=20", EnableMonitoring: true}
	b.fails("resctrl|intelRdt")
}

// Devices: the rules in their order, tried from inside.
func TestDeviceRules(t *testing.T) {
	b := newBundle(t)
	b.spec.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"},
		{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(11)), Access: "r"}, // kmsg
		{Allow: true, Type: "b", Access: "m"},
		{Allow: true, Type: "c", Major: ptr(int64(10)), Access: "rwm"},
		{Allow: false, Type: "c", Major: ptr(int64(10)), Minor: ptr(int64(200)), Access: "rw"},
	}
	b.expect([][2]string{
		// As with every runtime, a node may be made of any device and not be opened.
		{"mknod,/dev/kmsg1,c,1,11", "ok"},
		{"write,/dev/kmsg1,x", "EPERM"},
		{"mknod,/dev/mem1,c,1,1", "ok"},
		{"read,/dev/mem1", "EPERM"},
		{"mknod,/dev/block,b,7,250", "ok"},
		{"read,/dev/block", "EPERM"},
		{"mknod,/dev/misc,c,10,250", "ok"},
		{"read,/dev/misc", "ENODEV"},
		{"mknod,/dev/tun1,c,10,200", "ok"},
		{"write,/dev/null,x", "ok"},
		{"write,/dev/full,x", "ENOSPC"},
	})
	b = newBundle(t)
	b.spec.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Type: "q", Access: "rwm"}}
	b.fails("q")
	b = newBundle(t)
	b.spec.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "xyz"}}
	b.fails("xyz")
}

func TestCgroupsPath(t *testing.T) {
	b := newBundle(t, "/bin/sleep", "600")
	b.spec.Linux.CgroupsPath = b.cgroup + "/deep/er"
	b.create()
	pid := b.stateOf().Pid
	for line := range strings.Lines(read("/proc/" + strconv.Itoa(pid) + "/cgroup")) {
		if !strings.HasSuffix(strings.TrimSpace(line), b.cgroup+"/deep/er") && !strings.Contains(line, ":misc:") && !strings.Contains(line, ":rdma:") {
			t.Errorf("a hierarchy is missed: %s", line)
		}
	}
	b.ok("delete", "--force", b.id)
	if left := harness.Cgroups(b.cgroup + "/deep/er"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	for _, root := range harness.CgroupRoots() { // the parents were not the container's to remove
		_ = os.Remove(filepath.Join(root, b.cgroup, "deep"))
		_ = os.Remove(filepath.Join(root, b.cgroup))
	}
}

func TestCgroupNamespaceAndMount(t *testing.T) {
	for _, option := range []string{"ro", "rw"} {
		t.Run(option, func(t *testing.T) {
			b := newBundle(t)
			b.namespace(specs.CgroupNamespace, "")
			b.mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", option}})
			r := b.looks()
			for line := range strings.Lines(r.Cgroup) {
				if !strings.HasSuffix(strings.TrimSpace(line), ":/") {
					t.Errorf("the cgroup namespace shows %q", line)
				}
			}
			point := "/sys/fs/cgroup"
			if !unified() {
				point = "/sys/fs/cgroup/memory"
			}
			m, ok := r.Mount(point)
			if !ok || !m.Has(option) || m.Root != "/" {
				t.Errorf("%s: %+v, want it %s", point, m, option)
			}
		})
	}
	// Without a namespace of its own the container sees its own part as the mount on
	// v1, and the host's tree on v2.
	b := newBundle(t, "/bin/cat", "/sys/fs/cgroup/pids/pids.max")
	if unified() {
		b.spec.Process.Args[1] = "/sys/fs/cgroup" + b.cgroup + "/pids.max"
	}
	b.spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: ptr(int64(66))}
	b.mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}})
	if got := b.says(); got != "66" {
		t.Errorf("pids.max inside is %q, want 66", got)
	}
}

func TestNotEmptyCgroup(t *testing.T) {
	b := newBundle(t, "/bin/sleep", "600")
	b.start()
	other := b.id
	b.id += "-second"
	b.save()
	b.ids = append(b.ids, b.id)
	b.refused("cgroup", "create", b.id)
	b.id = other
	if s := b.stateOf(); s.Status != specs.StateRunning {
		t.Errorf("the first container is %s", s.Status)
	}
}

func TestOutOfMemory(t *testing.T) {
	b := newBundle(t, "/bin/sh", "-c", "x=abcdefgh; while :; do x=$x$x; done")
	b.spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: ptr(int64(16 * mib)), Swap: ptr(int64(16 * mib))}
	const killed = 137
	if r := b.run(); r.code != killed {
		t.Errorf("exit %d, want %d; %s", r.code, killed, r.err)
	}
}

func TestPauseResume(t *testing.T) {
	b := newBundle(t, "/bin/sh", "-c", "while :; do echo x; sleep 0.01; done")
	r := b.start()
	b.line(r)
	b.ok("pause", b.id)
	if s := b.stateOf(); s.Status != "paused" {
		t.Errorf("after pause the state is %s", s.Status)
	}
	before := len(read(r.outFile))
	b.refused("paused|frozen", "exec", b.id, "/bin/true")
	if after := len(read(r.outFile)); after != before {
		t.Errorf("it wrote %d bytes while it was paused", after-before)
	}
	b.refused("paused", "pause", b.id)
	b.ok("resume", b.id)
	if s := b.stateOf(); s.Status != specs.StateRunning {
		t.Errorf("after resume the state is %s", s.Status)
	}
	harness.Eventually(t, "output after resume", func() bool { return len(read(r.outFile)) > before })
	b.refused("not paused|running", "resume", b.id)
	b.ok("pause", b.id)
	b.ok("delete", "--force", b.id)
}

// Weights need the BFQ scheduler: where the files are, they are written, else the
// error names what is missing.
func TestBlockIOWeight(t *testing.T) {
	for name, io := range map[string]specs.LinuxBlockIO{
		"weight":     {Weight: ptr(uint16(200))},
		"leafWeight": {LeafWeight: ptr(uint16(200))},
		"weightDevice": {WeightDevice: []specs.LinuxWeightDevice{{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 7, Minor: 250},
			Weight: ptr(uint16(300)), LeafWeight: ptr(uint16(200))}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t, "/bin/sleep", "600")
			b.spec.Linux.Resources.BlockIO = &io
			b.save()
			b.ids = append(b.ids, b.id)
			res := b.cmd("create", b.id)
			written := false
			for _, file := range []string{"blkio.weight", "blkio.bfq.weight", "io.bfq.weight", "io.weight"} {
				if got, ok := b.knob(file); ok && (got == "200" || got == "default 200") {
					written = true
				}
			}
			switch {
			case res.code == 0 && !written:
				t.Error("the weight is accepted and written nowhere")
			case res.code != 0 && !strings.Contains(strings.ToLower(res.err), "weight"):
				t.Errorf("says %q, want the name of the setting", res.err)
			case res.code != 0 && len(b.left()) > 0:
				t.Errorf("a create that fails leaves %q", b.left())
			}
		})
	}
}

func TestRdma(t *testing.T) {
	b := newBundle(t)
	b.spec.Linux.Resources.Rdma = map[string]specs.LinuxRdma{"nosuch_1": {HcaHandles: ptr(uint32(3)), HcaObjects: ptr(uint32(100))}}
	b.fails("rdma|nosuch_1")
}

// On v2 the cgroup belongs to the container's root if it can write there.
func TestCgroupOwner(t *testing.T) {
	b := newBundle(t, "/bin/sleep", "600")
	b.namespace(specs.CgroupNamespace, "")
	b.mapped()
	b.mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"rw"}})
	b.start()
	want := 0
	if unified() {
		want = 100000
	}
	for _, root := range harness.CgroupRoots() {
		for _, file := range []string{"", "cgroup.procs"} {
			uid := owner(t, filepath.Join(root, b.cgroup, file))
			if uid != want {
				t.Errorf("%s%s/%s belongs to %d, want %d", root, b.cgroup, file, uid, want)
			}
		}
	}
	if unified() {
		if uid := owner(t, filepath.Join("/sys/fs/cgroup", b.cgroup, "memory.max")); uid != 0 {
			t.Errorf("memory.max belongs to %d", uid)
		}
		if r := b.exec("/bin/mkdir", "/sys/fs/cgroup/nested"); r.code != 0 {
			t.Errorf("a nested cgroup: %s", r.err)
		}
	}
}

func TestUpdate(t *testing.T) {
	b := newBundle(t, "/bin/sleep", "600")
	b.start()
	memoryFile, cpuWant := "memory.limit_in_bytes", [2]string{"cpu.cfs_quota_us", "30000"}
	if unified() {
		memoryFile, cpuWant = "memory.max", [2]string{"cpu.max", "30000 100000"}
	}
	check := func(file, want string) {
		t.Helper()
		if got, _ := b.knob(file); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	b.ok("update", "--memory", "67108864", "--pids-limit", "55", b.id)
	check(memoryFile, "67108864")
	check("pids.max", "55")
	b.ok("update", "--cpu-quota", "30000", "--cpu-period", "100000", "--cpuset-cpus", "0", b.id)
	check(cpuWant[0], cpuWant[1])
	check("cpuset.cpus", "0")
	j, err := json.Marshal(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(56))}})
	b.must(err)
	file := filepath.Join(b.temp("update"), "r.json")
	b.must(os.WriteFile(file, j, 0o644))
	b.ok("update", "--resources", file, b.id)
	check("pids.max", "56")
	check(memoryFile, "67108864")
	cmd := b.prepare("update", "-r", "-", b.id)
	cmd.Stdin = strings.NewReader(`{"memory":{"limit":134217728}}`)
	if r := b.do(cmd); r.code != 0 {
		t.Errorf("update from stdin: %s", r.err)
	}
	check(memoryFile, "134217728")
	if r := b.exec("/bin/true"); r.code != 0 {
		t.Errorf("exec after update: %s", r.err)
	}
}

func TestEventsStats(t *testing.T) {
	b := newBundle(t, "/bin/sleep", "600")
	b.spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 * mib))}
	b.start()
	var event struct {
		Type, ID string
		Data     struct {
			Pids   struct{ Current uint64 }
			Memory struct {
				Usage struct{ Limit, Usage uint64 }
			}
			CPU struct {
				Usage struct{ Total uint64 }
			}
		}
	}
	b.must(json.Unmarshal([]byte(b.ok("events", "--stats", b.id).out), &event))
	d := event.Data
	if event.Type != "stats" || event.ID != b.id || d.Pids.Current != 1 || d.Memory.Usage.Limit != 64*mib || d.CPU.Usage.Total == 0 {
		t.Errorf("stats: %+v", event)
	}
}

// checkBeforeUpdate: a limit below what is used is refused, on v2 as v1 does.
func TestCheckBeforeUpdate(t *testing.T) {
	b := newBundle(t, "/bin/sh", "-c", "head -c 30000000 /dev/zero > /dev/shm/x; echo full; exec sleep 600")
	for i, m := range b.spec.Mounts {
		if m.Destination == "/dev/shm" {
			b.spec.Mounts[i].Options = []string{"size=64m"}
		}
	}
	b.spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: ptr(int64(128 * mib)), Swap: ptr(int64(128 * mib)), CheckBeforeUpdate: ptr(true)}
	r := b.start()
	if line := b.line(r); line != "full" {
		t.Fatalf("the container says %q", line)
	}
	cmd := b.prepare("update", "-r", "-", b.id)
	cmd.Stdin = strings.NewReader(`{"memory":{"limit":8388608,"swap":8388608,"checkBeforeUpdate":true}}`)
	if res := b.do(cmd); res.code == 0 {
		t.Error("a limit below what is used is accepted")
	}
	if s := b.stateOf(); s.Status != specs.StateRunning {
		t.Errorf("the container is %s", s.Status)
	}
}

func TestHugepageLimits(t *testing.T) {
	b := newBundle(t, "/bin/sleep", "600")
	b.spec.Linux.Resources.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}
	b.create()
	var seen []string
	for _, file := range []string{"hugetlb.2MB.rsvd.max", "hugetlb.2MB.max", "hugetlb.2MB.rsvd.limit_in_bytes", "hugetlb.2MB.limit_in_bytes"} {
		if got, ok := b.knob(file); ok {
			seen = append(seen, got)
		}
	}
	if !slices.Contains(seen, "4194304") {
		t.Errorf("the limits are %q, want 4194304 among them", seen)
	}
	b = newBundle(t)
	b.spec.Linux.Resources.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 4 << 20}}
	b.fails("3MB")
}
