package systemd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/sys/cgroup/device"
	"github.com/berth-containers/berth/internal/sys/cgroup/limit"
	"github.com/berth-containers/berth/internal/sys/cgroup/systemd/systemdtest"
)

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func openFake(t *testing.T, f *systemdtest.Manager) *Manager {
	t.Helper()
	m, err := Open(limited(t), []Address{{"/nosuch", true}, {f.Start(t), true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestStateAndStartUnit(t *testing.T) {
	f := &systemdtest.Manager{State: "stopping"}
	m := openFake(t, f)
	if state, err := m.State(limited(t)); err != nil || state != "stopping" {
		t.Errorf("%q %v", state, err)
	}
	if err := m.StartUnit(limited(t), "berth-shim.service"); err != nil {
		t.Error(err)
	}
	compare(t, f, "StartUnit berth-shim.service replace")
	f.Answer = func(string) string { return "org.freedesktop.systemd1.NoSuchUnit" }
	if err := m.StartUnit(limited(t), "x.service"); err == nil {
		t.Error("a unit that is not there was started")
	}
}

func ptr[T any](v T) *T { return &v }

func TestParse(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tt := range []struct{ path, want string }{
		{"system.slice:berth:web", "system.slice berth-web.scope"},
		{":berth:web", " berth-web.scope"},
		{"::web", " web.scope"},
		{"a.slice::b.slice", "a.slice b.slice"},
		{"kubepods-besteffort-pod2ac1e32c_d8d6.slice:cri-containerd:0a1b", "kubepods-besteffort-pod2ac1e32c_d8d6.slice cri-containerd-0a1b.scope"},
		{"system.slice:my+app:a b/c", `system.slice my\x2bapp-a\x20b\x2fc.scope`},
		{`::already\x2bescaped\n`, ` already\x2bescaped\x5cn.scope`},
		{"::.hidden", ` \x2ehidden.scope`},
		{"-.slice:berth:web", "-.slice berth-web.scope"},
		{"/sys/fs/x", "error is not systemd's"},
		{"a:b", "error is not systemd's"},
		{"a:b:c:d", "error is not systemd's"},
		{"system.slice:berth:", "error has no name"},
		{"system:berth:web", "error is not a slice's name"},
		{"../x.slice:berth:web", "error is not a slice's name"},
		{"a--b.slice:berth:web", "error empty part"},
		{"::a--b.slice", "error empty part"},
		{"::" + long, "error characters"},
	} {
		u, err := Parse(tt.path)
		if want, fails := strings.CutPrefix(tt.want, "error "); fails {
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %s", tt.path, err, want)
			}
			continue
		}
		if got := u.Slice + " " + u.Name; err != nil || got != tt.want {
			t.Errorf("%q: %s %v, want %s", tt.path, got, err, tt.want)
		}
	}
}

func TestExpand(t *testing.T) {
	for slice, want := range map[string]string{
		"system.slice": "/system.slice", "a-b-c.slice": "/a.slice/a-b.slice/a-b-c.slice", "-.slice": "/",
		"": "", ".slice": "", "a": "", "a/b.slice": "", "-a.slice": "", "a-.slice": "", "a--b.slice": "", "a.slice/..": "", "ä.slice": "",
	} {
		if got, err := Expand(slice); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v, want %q", slice, got, err, want)
		}
	}
}

// Whatever is given, a name that is taken is one that systemd takes, and a path
// stays below the root.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"system.slice:berth:web", "::x", "a-b.slice:c:d.slice", "-.slice::\x00", "a--b.slice:c:/../d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := Parse(path)
		if err != nil {
			return
		}
		if len(u.Name) > 255 || strings.ContainsAny(u.Name, "/\x00 \n") || strings.HasPrefix(u.Name, ".") {
			t.Errorf("%q makes the name %q", path, u.Name)
		}
		if u.Slice == "" {
			return
		}
		if p, err := Expand(u.Slice); err != nil || strings.Contains(p, "..") && strings.Contains(p, "/../") || !strings.HasPrefix(p, "/") {
			t.Errorf("%q is in %q %v", path, p, err)
		}
	})
}

func TestBits(t *testing.T) {
	for list, want := range map[string]string{"0": "[1]", "0-3,7": "[143]", "8": "[0 1]", "1, 3": "[10]", "": "", "x": "", "3-1": "", "9999": "", "0-": ""} {
		got, err := bits(list)
		text := ""
		if err == nil {
			text = fmt.Sprint(got)
		}
		if text != want {
			t.Errorf("%q: %s %v, want %s", list, text, err, want)
		}
	}
}

func resources() *specs.LinuxResources {
	disk := specs.LinuxBlockIODevice{Major: 8, Minor: 16}
	return &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr[int64](100), Swap: ptr[int64](150), Reservation: ptr[int64](50)},
		CPU:    &specs.LinuxCPU{Shares: ptr[uint64](1024), Quota: ptr[int64](5500), Period: ptr[uint64](100000), Cpus: "0-1", Mems: "0"},
		Pids:   &specs.LinuxPids{Limit: ptr[int64](-1)},
		BlockIO: &specs.LinuxBlockIO{Weight: ptr[uint16](500),
			ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 1}}},
	}
}

func TestStartOnV2(t *testing.T) {
	res := resources()
	res.Unified = map[string]string{"memory.high": "90", "io.weight": "77"}
	list, _, err := limit.V2(res, limit.Current{})
	if err != nil {
		t.Fatal(err)
	}
	f := &systemdtest.Manager{}
	err = openFake(t, f).Start(limited(t), Container{Unit: Unit{"a-b.slice", "berth-web.scope"}, Pid: 42, V2: true, Settings: list})
	if err != nil {
		t.Fatal(err)
	}
	want := `StartTransientUnit berth-web.scope replace
  Description = "berth container berth-web.scope"
  DefaultDependencies = false
  Slice = "a-b.slice"
  Delegate = true
  PIDs = @au [42]
  MemoryAccounting = true
  CPUAccounting = true
  TasksAccounting = true
  IOAccounting = true
  MemoryMax = @t 100
  MemorySwapMax = @t 50
  MemoryLow = @t 50
  CPUWeight = @t 100
  AllowedCPUs = @ay [0x3]
  AllowedMemoryNodes = @ay [0x1]
  TasksMax = @t 18446744073709551615
  IOReadBandwidthMax = @a(st) [["/dev/block/8:16", 1]]
  IOWeight = @t 77
  MemoryHigh = @t 90
  CPUQuotaPeriodUSec = @t 100000
  CPUQuotaPerSecUSec = @t 60000`
	compare(t, f, want)
}

func TestStartOnV1(t *testing.T) {
	list, _, err := limit.V1(resources())
	if err != nil {
		t.Fatal(err)
	}
	rules, err := device.Parse([]specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "b", Major: ptr[int64](8), Minor: ptr[int64](1), Access: "r"}})
	if err != nil {
		t.Fatal(err)
	}
	f := &systemdtest.Manager{Order: binary.BigEndian}
	err = openFake(t, f).Start(limited(t), Container{Unit: Unit{"", "web.scope"}, Pid: 42, Settings: list, Devices: rules})
	if err != nil {
		t.Fatal(err)
	}
	want := `StartTransientUnit web.scope replace
  Description = "berth container web.scope"
  DefaultDependencies = false
  Delegate = true
  PIDs = @au [42]
  DevicePolicy = "strict"
  DeviceAllow = @a(ss) []
  DeviceAllow = [["/dev/block/8:1", "r"], ["char-*", "m"], ["block-*", "m"], ["/dev/char/1:3", "rwm"], ["/dev/char/1:5", "rwm"], ["/dev/char/1:7", "rwm"], ["/dev/char/1:8", "rwm"], ["/dev/char/1:9", "rwm"], ["/dev/char/5:0", "rwm"], ["/dev/char/5:2", "rwm"], ["char-136", "rwm"]]
  MemoryAccounting = true
  CPUAccounting = true
  TasksAccounting = true
  BlockIOAccounting = true
  MemoryLimit = @t 100
  CPUShares = @t 1024
  AllowedCPUs = @ay [0x3]
  AllowedMemoryNodes = @ay [0x1]
  TasksMax = @t 18446744073709551615
  BlockIOWeight = @t 500
  CPUQuotaPeriodUSec = @t 100000
  CPUQuotaPerSecUSec = @t 60000`
	compare(t, f, want)
}

func compare(t *testing.T, f *systemdtest.Manager, want string) {
	t.Helper()
	if got := f.String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestUpdateAndStop(t *testing.T) {
	f := &systemdtest.Manager{}
	m := openFake(t, f)
	list, _, err := limit.V2(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr[int64](9)}, CPU: &specs.LinuxCPU{Quota: ptr[int64](-1)}}, limit.Current{})
	if err == nil {
		err = m.Update(limited(t), "web.scope", list)
	}
	if err == nil {
		err = m.Update(limited(t), "web.scope", nil)
	}
	if err == nil {
		err = m.Attach(limited(t), "web.scope", "/in", 43)
	}
	if err == nil {
		err = m.Stop(limited(t), "web.scope")
	}
	if err != nil {
		t.Fatal(err)
	}
	compare(t, f, `SetUnitProperties web.scope true
  TasksMax = @t 9
  CPUQuotaPeriodUSec = @t 100000
  CPUQuotaPerSecUSec = @t 18446744073709551615
AttachProcessesToUnit web.scope /in [43]
StopUnit web.scope replace
ResetFailedUnit web.scope`)
}

func TestRefusals(t *testing.T) {
	container := Container{Unit: Unit{"", "web.scope"}, Pid: 42, V2: true}
	for _, tt := range []struct {
		name    string
		answers map[string][]string // in turn
		result  string
		op      func(context.Context, *Manager) error
		want    string
		kind    func(error) bool
	}{
		{"left over", map[string][]string{"StartTransientUnit": {systemd1 + ".UnitExists"}}, "", start(container), "", nil},
		{"in use", map[string][]string{"StartTransientUnit": {systemd1 + ".UnitExists", systemd1 + ".UnitExists"}}, "", start(container), "web.scope exists and is in use", errdefs.IsConflict},
		{"refused", map[string][]string{"StartTransientUnit": {"org.freedesktop.DBus.Error.AccessDenied"}}, "", start(container), "start systemd's unit web.scope: call StartTransientUnit: no: org.freedesktop", nil},
		{"failed job", nil, "timeout", start(container), `the job ended with "timeout"; systemctl status web.scope`, nil},
		{"stop of one that is gone", map[string][]string{"StopUnit": {systemd1 + ".NoSuchUnit"}}, "", func(ctx context.Context, m *Manager) error { return m.Stop(ctx, "web.scope") }, "", nil},
	} {
		f := &systemdtest.Manager{Result: tt.result, Answer: func(member string) string {
			list := tt.answers[member]
			if len(list) == 0 {
				return ""
			}
			tt.answers[member] = list[1:]
			return list[0]
		}}
		err := tt.op(limited(t), openFake(t, f))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) || tt.kind != nil && !tt.kind(err) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

func start(c Container) func(context.Context, *Manager) error {
	return func(ctx context.Context, m *Manager) error { return m.Start(ctx, c) }
}

func TestNobodyListens(t *testing.T) {
	_, err := Open(limited(t), []Address{{"/nosuch/bus", true}})
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "use cgroupfs (without --systemd-cgroup)") {
		t.Error(err)
	}
}

// Nothing is waited for longer than the context says, and the connection can
// still be used to take back what was begun.
func TestEndedContext(t *testing.T) {
	m := openFake(t, &systemdtest.Manager{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Stop(ctx, "x.scope"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := m.Stop(limited(t), "x.scope"); err != nil {
		t.Error(err)
	}
}

func TestAddresses(t *testing.T) {
	none := func(string) string { return "" }
	env := func(name string) string {
		return map[string]string{"XDG_RUNTIME_DIR": "/run/u", "DBUS_SESSION_BUS_ADDRESS": "tcp:host=x;unix:guid=1,path=/tmp/bus"}[name]
	}
	for _, tt := range []struct {
		uid    int
		getenv func(string) string
		want   []Address
	}{
		{0, none, []Address{{"/run/dbus/system_bus_socket", true}, {"/run/systemd/private", false}}},
		{1000, none, []Address{{"/run/user/1000/bus", true}, {"/run/user/1000/systemd/private", false}}},
		{1000, env, []Address{{"/tmp/bus", true}, {"/run/u/systemd/private", false}}},
	} {
		got := Addresses(tt.uid, tt.getenv)
		if len(got) != 2 || got[0] != tt.want[0] || got[1] != tt.want[1] {
			t.Errorf("%d: %v, want %v", tt.uid, got, tt.want)
		}
	}
}

func TestPlace(t *testing.T) {
	for _, tt := range []struct {
		unit, base string
		root       bool
		want       string
	}{
		{"a-b.slice:berth:web", "", true, "/a.slice/a-b.slice/berth-web.scope"},
		{":berth:web", "", true, "/system.slice/berth-web.scope"},
		{":berth:web", "/user.slice/user-7.slice/user@7.service", false, "/user.slice/user-7.slice/user@7.service/user.slice/berth-web.scope"},
		{"::a-b.slice", "", true, "/a.slice/a-b.slice"},
		{"-.slice:berth:web", "", true, "/berth-web.scope"},
	} {
		u, err := Parse(tt.unit)
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := place(u, tt.base, tt.root); got != tt.want || err != nil {
			t.Errorf("%s: %s %v, want %s", tt.unit, got, err, tt.want)
		}
	}
}

func TestOutside(t *testing.T) {
	for mapping, want := range map[string]int{"0 0 4294967295\n": 0, "0 1000 1\n1 100000 65536\n": 1000, "": 0, "x": 0} {
		if got := outside(mapping, 0); got != want {
			t.Errorf("%q: %d, want %d", mapping, got, want)
		}
	}
}

func TestPathIn(t *testing.T) {
	for _, tt := range []struct{ lines, want string }{
		{"0::/system.slice/a.scope\n", "/system.slice/a.scope"},
		{"9:name=systemd:/b.scope\n2:cpu:/\n0::/a.scope\n", "/b.scope"},
		{"2:cpu:/\n0::/a.scope\n9:name=systemd:/b.scope\n", "/b.scope"},
		{"0::/\n", ""}, {"", ""}, {"torn", ""},
	} {
		if got, err := pathIn(tt.lines); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: %q %v, want %q", tt.lines, got, err, tt.want)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for s, want := range map[string]int{"252.30-1~deb12u2": 252, "v249": 249, "systemd 255": 255, "": 0, "x": 0, "99999999999999999999": 0} {
		if got := parseVersion(s); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}
