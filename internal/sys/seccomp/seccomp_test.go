package seccomp

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	profiles "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// run is the kernel's part: it decides one call.
func run(t testing.TB, f Filter, arch, nr uint32, args ...uint64) string {
	t.Helper()
	raw := make([]bpf.RawInstruction, len(f.Prog)/8)
	for i := range raw {
		b := f.Prog[8*i:]
		raw[i] = bpf.RawInstruction{Op: binary.LittleEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.LittleEndian.Uint32(b[4:])}
	}
	insns, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("the program has instructions that are unknown")
	}
	vm, err := bpf.NewVM(insns)
	if err != nil {
		t.Fatal(err)
	}
	// The VM loads big-endian words; the layout is the kernel's on little-endian machines.
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data[0:], nr)
	binary.BigEndian.PutUint32(data[4:], arch)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[16+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[20+8*i:], uint32(a>>32))
	}
	ret, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return describe(uint32(ret))
}

func describe(ret uint32) string {
	switch ret & 0xffff0000 {
	case unix.SECCOMP_RET_ALLOW:
		return "allow"
	case unix.SECCOMP_RET_ERRNO:
		return unix.ErrnoName(syscall.Errno(ret & 0xffff))
	case unix.SECCOMP_RET_KILL_PROCESS:
		return "kill process"
	case unix.SECCOMP_RET_KILL_THREAD:
		return "kill thread"
	case unix.SECCOMP_RET_TRAP:
		return "trap"
	case unix.SECCOMP_RET_LOG:
		return "log"
	case unix.SECCOMP_RET_USER_NOTIF:
		return "notify"
	case unix.SECCOMP_RET_TRACE:
		return fmt.Sprintf("trace %d", ret&0xffff)
	}
	return fmt.Sprintf("%#x", ret)
}

// dockers is Docker's default profile for a process with caps.
func dockers(t testing.TB, caps ...string) *specs.LinuxSeccomp {
	t.Helper()
	s, err := profiles.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func compile(t testing.TB, goarch string, s *specs.LinuxSeccomp) Filter {
	t.Helper()
	f, err := compileFor(goarch, s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDockersProfile(t *testing.T) {
	plain, admin := dockers(t), dockers(t, "CAP_SYS_ADMIN")
	if runtime.GOARCH != "amd64" {
		t.Skip("the profile is made for the machine it is on")
	}
	const amd64, i386 = unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386
	for _, tt := range []struct {
		name    string
		profile *specs.LinuxSeccomp
		arch    uint32
		nr      uint32
		args    []uint64
		want    string
	}{
		{"read", plain, amd64, unix.SYS_READ, nil, "allow"},
		{"futex", plain, amd64, unix.SYS_FUTEX, nil, "allow"},
		{"openat2", plain, amd64, unix.SYS_OPENAT2, nil, "allow"},
		{"mount", plain, amd64, unix.SYS_MOUNT, nil, "EPERM"},
		{"mount with CAP_SYS_ADMIN", admin, amd64, unix.SYS_MOUNT, nil, "allow"},
		{"keyctl", plain, amd64, unix.SYS_KEYCTL, nil, "EPERM"},
		{"clone of a thread", plain, amd64, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_THREAD}, "allow"},
		{"clone of a namespace", plain, amd64, unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER}, "EPERM"},
		{"clone of a namespace with CAP_SYS_ADMIN", admin, amd64, unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER}, "allow"},
		{"clone3", plain, amd64, unix.SYS_CLONE3, nil, "ENOSYS"},
		{"personality 0", plain, amd64, unix.SYS_PERSONALITY, []uint64{0}, "allow"},
		{"personality query", plain, amd64, unix.SYS_PERSONALITY, []uint64{0xffffffff}, "allow"},
		{"personality of 64 bits", plain, amd64, unix.SYS_PERSONALITY, []uint64{1 << 32}, "EPERM"},
		{"personality READ_IMPLIES_EXEC", plain, amd64, unix.SYS_PERSONALITY, []uint64{0x0400000}, "EPERM"},
		{"socket inet", plain, amd64, unix.SYS_SOCKET, []uint64{unix.AF_INET}, "allow"},
		{"socket vsock", plain, amd64, unix.SYS_SOCKET, []uint64{unix.AF_VSOCK}, "EPERM"},
		{"a call from the future", plain, amd64, 4000, nil, "ENOSYS"},
		{"a cancelled call", plain, amd64, noCall, nil, "EPERM"},
		{"x32 read", plain, amd64, x32Bit | unix.SYS_READ, nil, "allow"},
		{"x32 ioctl", plain, amd64, x32Bit | 514, nil, "allow"},
		{"x32 mount", plain, amd64, x32Bit | unix.SYS_MOUNT, nil, "EPERM"},
		{"x32 socket, whose arguments have 32 bits", plain, amd64, x32Bit | unix.SYS_SOCKET, []uint64{1<<32 | unix.AF_INET}, "allow"},
		{"i386 read", plain, i386, 3, nil, "allow"},
		{"i386 mount", plain, i386, 21, nil, "EPERM"},
		{"i386 socketcall", plain, i386, 102, []uint64{1}, "allow"},
		{"another architecture", plain, unix.AUDIT_ARCH_AARCH64, 0, nil, "kill process"},
	} {
		if got := run(t, compile(t, "amd64", tt.profile), tt.arch, tt.nr, tt.args...); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func one(name string, a specs.LinuxSeccompAction, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: []string{name}, Action: a, Args: args}
}

func TestOperators(t *testing.T) {
	const big = 0x1_0000_0005
	values := []uint64{0, 4, 5, 6, 0x1_0000_0004, big, 0x1_0000_0006, 0x2_0000_0000, ^uint64(0)}
	for _, tt := range []struct {
		op         specs.LinuxSeccompOperator
		value, two uint64
		match      func(uint64) bool
	}{
		{specs.OpEqualTo, big, 0, func(a uint64) bool { return a == big }},
		{specs.OpNotEqual, big, 0, func(a uint64) bool { return a != big }},
		{specs.OpLessThan, big, 0, func(a uint64) bool { return a < big }},
		{specs.OpLessEqual, big, 0, func(a uint64) bool { return a <= big }},
		{specs.OpGreaterThan, big, 0, func(a uint64) bool { return a > big }},
		{specs.OpGreaterEqual, big, 0, func(a uint64) bool { return a >= big }},
		{specs.OpLessThan, 5, 0, func(a uint64) bool { return a < 5 }},
		{specs.OpGreaterThan, 5, 0, func(a uint64) bool { return a > 5 }},
		{specs.OpMaskedEqual, 0x1_0000_0004, 4, func(a uint64) bool { return a&0x1_0000_0004 == 4 }},
		{specs.OpMaskedEqual, 1 << 32, 1 << 32, func(a uint64) bool { return a&(1<<32) != 0 }},
	} {
		f := compile(t, "arm64", &specs.LinuxSeccomp{
			DefaultAction: specs.ActErrno,
			Syscalls:      []specs.LinuxSyscall{one("read", specs.ActAllow, specs.LinuxSeccompArg{Index: 2, Op: tt.op, Value: tt.value, ValueTwo: tt.two})},
		})
		for _, v := range values {
			want := "EPERM"
			if tt.match(v) {
				want = "allow"
			}
			if got := run(t, f, unix.AUDIT_ARCH_AARCH64, 63, 0, 0, v); got != want {
				t.Errorf("%#x %s %#x %#x: %s, want %s", v, tt.op, tt.value, tt.two, got, want)
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestRules(t *testing.T) {
	is := func(index uint, v uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: index, Op: specs.OpEqualTo, Value: v}
	}
	const read = unix.SYS_READ
	for _, tt := range []struct {
		name  string
		deny  specs.LinuxSeccompAction
		rules []specs.LinuxSyscall
		args  []uint64
		want  string
	}{
		{"conditions are a conjunction", "SCMP_ACT_ERRNO", []specs.LinuxSyscall{one("read", "SCMP_ACT_ALLOW", is(0, 1), is(1, 2))}, []uint64{1, 3}, "EPERM"},
		{"conditions all hold", "SCMP_ACT_ERRNO", []specs.LinuxSyscall{one("read", "SCMP_ACT_ALLOW", is(0, 1), is(1, 2))}, []uint64{1, 2}, "allow"},
		{"an argument named twice", "SCMP_ACT_ERRNO", []specs.LinuxSyscall{one("read", "SCMP_ACT_ALLOW", is(0, 1), is(0, 2))}, []uint64{2}, "allow"},
		{"rules are alternatives", "SCMP_ACT_ERRNO", []specs.LinuxSyscall{one("read", "SCMP_ACT_ALLOW", is(0, 1)), one("read", "SCMP_ACT_LOG", is(0, 2))}, []uint64{2}, "log"},
		{"an unconditional rule wins", "SCMP_ACT_ERRNO", []specs.LinuxSyscall{one("read", "SCMP_ACT_LOG", is(0, 1)), one("read", "SCMP_ACT_ALLOW")}, []uint64{1}, "allow"},
		{"the first unconditional rule wins", "SCMP_ACT_ERRNO", []specs.LinuxSyscall{one("read", "SCMP_ACT_LOG"), one("read", "SCMP_ACT_ALLOW")}, nil, "log"},
		{"a rule with the default action says nothing", "SCMP_ACT_ERRNO", []specs.LinuxSyscall{one("read", "SCMP_ACT_ALLOW", is(0, 1)), one("read", "SCMP_ACT_ERRNO")}, []uint64{1}, "allow"},
		{"an unknown name", "SCMP_ACT_ERRNO", []specs.LinuxSyscall{one("read_with_feeling", "SCMP_ACT_ALLOW")}, nil, "EPERM"},
		{"kill", "SCMP_ACT_ALLOW", []specs.LinuxSyscall{one("read", "SCMP_ACT_KILL")}, nil, "kill thread"},
		{"kill the process", "SCMP_ACT_ALLOW", []specs.LinuxSyscall{one("read", "SCMP_ACT_KILL_PROCESS")}, nil, "kill process"},
		{"trap", "SCMP_ACT_ALLOW", []specs.LinuxSyscall{one("read", "SCMP_ACT_TRAP")}, nil, "trap"},
		{"trace", "SCMP_ACT_ALLOW", []specs.LinuxSyscall{one("read", "SCMP_ACT_TRACE")}, nil, "trace 1"},
		{"trace with a value", "SCMP_ACT_ALLOW", []specs.LinuxSyscall{{Names: []string{"read"}, Action: "SCMP_ACT_TRACE", ErrnoRet: ptr(uint(9))}}, nil, "trace 9"},
		{"errno with a value", "SCMP_ACT_ALLOW", []specs.LinuxSyscall{{Names: []string{"read"}, Action: "SCMP_ACT_ERRNO", ErrnoRet: ptr(uint(38))}}, nil, "ENOSYS"},
		{"errno 0", "SCMP_ACT_ALLOW", []specs.LinuxSyscall{{Names: []string{"read"}, Action: "SCMP_ACT_ERRNO", ErrnoRet: ptr(uint(0))}}, nil, ""},
		{"notify", "SCMP_ACT_ALLOW", []specs.LinuxSyscall{one("read", "SCMP_ACT_NOTIFY")}, nil, "notify"},
		{"notify by default", "SCMP_ACT_NOTIFY", nil, nil, "notify"},
		{"no rule", "SCMP_ACT_LOG", nil, nil, "log"},
	} {
		f := compile(t, "amd64", &specs.LinuxSeccomp{DefaultAction: tt.deny, ListenerPath: "/agent", Syscalls: tt.rules})
		if got := run(t, f, unix.AUDIT_ARCH_X86_64, read, tt.args...); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestNewerCalls(t *testing.T) {
	rules := []specs.LinuxSyscall{one("read", specs.ActAllow), one("openat2", specs.ActErrno)}
	for _, tt := range []struct {
		action specs.LinuxSeccompAction
		nr     uint32
		want   string
	}{
		{specs.ActErrno, unix.SYS_OPENAT2, "EPERM"},
		{specs.ActErrno, unix.SYS_OPENAT2 - 1, "EPERM"},
		{specs.ActErrno, unix.SYS_OPENAT2 + 1, "ENOSYS"},
		{specs.ActKillProcess, unix.SYS_OPENAT2 + 1, "ENOSYS"},
		{specs.ActLog, unix.SYS_OPENAT2 + 1, "log"},
		{specs.ActErrno, x32Bit, "kill process"},
		{specs.ActErrno, x32Bit + 1000, "kill process"},
	} {
		f := compile(t, "amd64", &specs.LinuxSeccomp{DefaultAction: tt.action, Syscalls: rules})
		if got := run(t, f, unix.AUDIT_ARCH_X86_64, tt.nr); got != tt.want {
			t.Errorf("%s, call %d: %s, want %s", tt.action, tt.nr, got, tt.want)
		}
	}
}

// What a rule says of socket holds for socketcall(SYS_SOCKET) of i386, too.
func TestMultiplexedCalls(t *testing.T) {
	f := compile(t, "amd64", &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86},
		Syscalls: []specs.LinuxSyscall{one("socket", specs.ActErrno), one("shmget", specs.ActErrno)},
	})
	for _, tt := range []struct {
		nr   uint32
		arg  uint64
		want string
	}{{359, 0, "EPERM"}, {102, 1, "EPERM"}, {102, 2, "allow"}, {117, 23, "EPERM"}, {117, 1<<16 | 23, "EPERM"}, {117, 21, "allow"}} {
		if got := run(t, f, unix.AUDIT_ARCH_I386, tt.nr, tt.arg); got != tt.want {
			t.Errorf("call %d of %d: %s, want %s", tt.nr, tt.arg, got, tt.want)
		}
	}
}

// The tables are searched, so they must be sorted; no call is there twice.
func TestTables(t *testing.T) {
	for name, table := range map[string][]call{"amd64": amd64Calls[:], "x32": x32Calls[:], "x86": x86Calls[:], "arm64": arm64Calls[:], "arm": armCalls[:]} {
		for i := 1; i < len(table); i++ {
			if table[i-1].name >= table[i].name {
				t.Errorf("%s: %s is before %s", name, table[i-1].name, table[i].name)
			}
		}
	}
	for i := 1; i < len(multiplexed); i++ {
		if multiplexed[i-1].name >= multiplexed[i].name {
			t.Errorf("%s is before %s", multiplexed[i-1].name, multiplexed[i].name)
		}
	}
}

// Long chains of conditions need jumps that are longer than 8 bits.
func TestLongJumps(t *testing.T) {
	var args []specs.LinuxSyscall
	for i := range uint64(300) {
		args = append(args, one("read", specs.ActAllow, specs.LinuxSeccompArg{Index: 0, Op: specs.OpEqualTo, Value: i << 33}))
		args = append(args, one("socket", specs.ActLog, specs.LinuxSeccompArg{Index: 1, Op: specs.OpGreaterThan, Value: 1<<40 + i}))
	}
	f := compile(t, "amd64", &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: args})
	for i := range uint64(301) {
		want := "allow"
		if i == 300 {
			want = "EPERM"
		}
		if got := run(t, f, unix.AUDIT_ARCH_X86_64, unix.SYS_READ, i<<33); got != want {
			t.Errorf("read %d: %s, want %s", i, got, want)
		}
	}
	if got := run(t, f, unix.AUDIT_ARCH_X86_64, unix.SYS_WRITE); got != "EPERM" {
		t.Errorf("write: %s", got)
	}
	if got := run(t, f, unix.AUDIT_ARCH_X86_64, unix.SYS_SOCKET, 0, 1<<40+1); got != "log" {
		t.Errorf("socket: %s", got)
	}
}

func TestRefusals(t *testing.T) {
	big := uint(5000)
	for _, tt := range []struct {
		profile specs.LinuxSeccomp
		want    string
	}{
		{specs.LinuxSeccomp{}, `defaultAction: seccomp action "" is unknown`},
		{specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ALLOW", Syscalls: []specs.LinuxSyscall{one("read", specs.ActNotify)}}, `SCMP_ACT_NOTIFY needs a listenerPath that is absolute, not ""`},
		{specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_NOTIFY", ListenerPath: "agent"}, `listenerPath that is absolute, not "agent"`},
		{specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ERRNO", ListenerPath: "/agent", Syscalls: []specs.LinuxSyscall{one("mkdir", specs.ActNotify)}}, "needs read to be allowed"},
		{specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ALLOW", ListenerMetadata: "x"}, `listenerMetadata "x" needs a listenerPath`},
		{specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ALLOW", DefaultErrnoRet: new(uint)}, "SCMP_ACT_ALLOW takes no errnoRet, and has 0"},
		{specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ALLOW", Architectures: []specs.Arch{"SCMP_ARCH_VAX"}}, `architecture "SCMP_ARCH_VAX" is unknown`},
		{specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ALLOW", Architectures: []specs.Arch{"mips"}}, `architecture "mips" is unknown`},
		{specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ALLOW", Flags: []specs.LinuxSeccompFlag{"X"}}, `flag "X" is unknown`},
		{specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ERRNO", DefaultErrnoRet: &big}, "errnoRet 5000 is above 4095"},
		{specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ERRNO", Syscalls: []specs.LinuxSyscall{one("read", specs.ActAllow, specs.LinuxSeccompArg{Index: 6, Op: specs.OpEqualTo})}}, "index 6 is above 5"},
		{specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ERRNO", Syscalls: []specs.LinuxSyscall{one("read", specs.ActAllow, specs.LinuxSeccompArg{Op: "~"})}}, `operator "~" is unknown`},
	} {
		if _, err := compileFor("amd64", &tt.profile); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %s", tt.profile, err, tt.want)
		}
	}
}

func TestNoProfile(t *testing.T) {
	f, err := Compile(nil)
	if err != nil || len(f.Prog) != 0 {
		t.Fatal(f, err)
	}
}

// installer marks the process that TestInstall starts.
const installer = "BERTH_TEST_SECCOMP_INSTALL"

func TestInstall(t *testing.T) {
	if os.Getenv(installer) != "" {
		install(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestInstall$", "-test.v")
	cmd.Env = append(os.Environ(), installer+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func install(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread goes with the filter
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	f, err := Compile(dockers(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d instructions", len(f.Prog)/8)
	if _, err := f.Install(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", "/nowhere", "tmpfs", 0, ""); !errors.Is(err, unix.EPERM) {
		t.Errorf("mount: %v", err)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_CLONE3, 0, 0, 0); errno != unix.ENOSYS {
		t.Errorf("clone3: %v", errno)
	}
	if unix.Getpid() != os.Getpid() {
		t.Error("getpid does not answer")
	}
	if err := unix.Access("/", unix.R_OK); err != nil {
		t.Errorf("access: %v", err)
	}
}

func FuzzCompile(f *testing.F) {
	seed, err := json.Marshal(dockers(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, uint32(1), uint64(0))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["read"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":3,"op":"SCMP_CMP_GT"}]}]}`), uint32(0), uint64(4))
	f.Fuzz(func(t *testing.T, raw []byte, nr uint32, arg uint64) {
		var s specs.LinuxSeccomp
		if json.Unmarshal(raw, &s) != nil {
			return
		}
		filter, err := compileFor("amd64", &s)
		if err != nil {
			return
		}
		// Every path ends in a known action.
		for _, arch := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, 0} {
			if got := run(t, filter, arch, nr, arg, arg); strings.HasPrefix(got, "0x") {
				t.Errorf("call %d: %s", nr, got)
			}
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	s := dockers(b)
	for b.Loop() {
		if _, err := Compile(s); err != nil {
			b.Fatal(err)
		}
	}
}

func TestFlags(t *testing.T) {
	notify := []specs.LinuxSyscall{one("mkdir", specs.ActNotify)}
	for _, tt := range []struct {
		flags []specs.LinuxSeccompFlag
		rules []specs.LinuxSyscall
		want  uint32
	}{
		{nil, nil, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{[]specs.LinuxSeccompFlag{}, nil, 0},
		{Flags(), nil, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW | unix.SECCOMP_FILTER_FLAG_LOG},
		{Flags(), notify, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW | unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER},
	} {
		f := compile(t, "amd64", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: tt.flags, ListenerPath: "/agent", Syscalls: tt.rules})
		if f.Flags != tt.want || f.Notifies() != (tt.rules != nil) {
			t.Errorf("%v: %#x, want %#x", tt.flags, f.Flags, tt.want)
		}
	}
}

// What is listed as known is taken.
func TestFeatures(t *testing.T) {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: Archs(), Flags: Flags(), ListenerPath: "/agent"}
	for _, a := range Actions() {
		s.Syscalls = append(s.Syscalls, one("mkdir", a))
	}
	for _, o := range Operators() {
		s.Syscalls = append(s.Syscalls, one("mkdir", specs.ActErrno, specs.LinuxSeccompArg{Op: o}))
	}
	for _, goarch := range []string{"amd64", "arm64"} {
		compile(t, goarch, s)
	}
	if len(SupportedFlags()) < 3 {
		t.Errorf("this kernel has but %q", SupportedFlags())
	}
}
