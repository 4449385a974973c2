package conformance

import (
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The probe is told to call getpriority(2), which nothing else of it needs.
const (
	callMe  = "getpriority"
	calling = "syscall,140,0,0"
)

func (b *bundle) rule(s specs.LinuxSyscall) {
	b.spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}, Syscalls: []specs.LinuxSyscall{s}}
	b.spec.Process.Args = []string{"/probe", "try", calling}
}

func TestSeccompActions(t *testing.T) {
	const bySIGSYS = 128 + 31
	for _, row := range []struct {
		name   string
		rule   specs.LinuxSyscall
		answer string
		code   int
	}{
		{"allow", specs.LinuxSyscall{Action: specs.ActAllow}, "20", 0},
		{"log", specs.LinuxSyscall{Action: specs.ActLog}, "20", 0},
		{"errno", specs.LinuxSyscall{Action: specs.ActErrno}, "EPERM", 0},
		{"errno with number", specs.LinuxSyscall{Action: specs.ActErrno, ErrnoRet: ptr(uint(unix.EXDEV))}, "EXDEV", 0},
		{"trace without tracer", specs.LinuxSyscall{Action: specs.ActTrace, ErrnoRet: ptr(uint(7))}, "ENOSYS", 0},
		{"kill process", specs.LinuxSyscall{Action: specs.ActKillProcess}, "", bySIGSYS},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBundle(t)
			row.rule.Names = []string{callMe, "no_such_call_anywhere"}
			b.rule(row.rule)
			r := b.run()
			if strings.TrimSpace(r.out) != row.answer || r.code != row.code {
				t.Errorf("answer %q, exit %d; want %q, %d (%s)", r.out, r.code, row.answer, row.code, r.err)
			}
		})
	}
	// These end the thread or give a signal: the process does not see an answer.
	for _, action := range []specs.LinuxSeccompAction{specs.ActKill, specs.ActKillThread, specs.ActTrap} {
		t.Run(string(action), func(t *testing.T) {
			b := newBundle(t, "/bin/busybox", "nice")
			b.rule(specs.LinuxSyscall{Names: []string{callMe}, Action: action})
			b.spec.Process.Args = []string{"/bin/busybox", "nice"}
			if r := b.run(); r.code == 0 {
				t.Errorf("exit 0: %q", r.out)
			}
		})
	}
}

func TestSeccompArguments(t *testing.T) {
	for _, row := range []struct {
		op       specs.LinuxSeccompOperator
		value    uint64
		two      uint64
		hit, not string
	}{
		{specs.OpEqualTo, 5, 0, "5", "6"}, {specs.OpNotEqual, 5, 0, "6", "5"},
		{specs.OpLessThan, 5, 0, "4", "5"}, {specs.OpLessEqual, 5, 0, "5", "6"},
		{specs.OpGreaterThan, 5, 0, "6", "5"}, {specs.OpGreaterEqual, 5, 0, "5", "4"},
		{specs.OpMaskedEqual, 0xf0, 0x30, "0x3a", "0x2a"},
		{specs.OpEqualTo, 1 << 40, 0, "0x10000000000", "0"},
	} {
		t.Run(string(row.op), func(t *testing.T) {
			b := newBundle(t)
			b.rule(specs.LinuxSyscall{Names: []string{callMe}, Action: specs.ActErrno, ErrnoRet: ptr(uint(unix.EXDEV)),
				Args: []specs.LinuxSeccompArg{{Index: 1, Value: row.value, ValueTwo: row.two, Op: row.op}}})
			answers := b.tries("syscall,140,9,"+row.hit, "syscall,140,9,"+row.not)
			if answers[0] != "EXDEV" || answers[1] == "EXDEV" {
				t.Errorf("%s %#x: %q", row.op, row.value, answers)
			}
		})
	}
}

func TestSeccompDefault(t *testing.T) {
	b := newBundle(t)
	b.rule(specs.LinuxSyscall{Names: []string{"chroot"}, Action: specs.ActAllow})
	b.spec.Linux.Seccomp.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow}
	b.spec.Process.Args = []string{"/probe"}
	r := b.looks()
	if r.Status["Seccomp"] != "2" {
		t.Errorf("seccomp mode %s, want 2", r.Status["Seccomp"])
	}
	for want, change := range map[string]func(*specs.LinuxSeccomp){
		"SCMP_ACT_X":                    func(s *specs.LinuxSeccomp) { s.DefaultAction = "SCMP_ACT_X" },
		"SCMP_ARCH_Z80":                 func(s *specs.LinuxSeccomp) { s.Architectures = []specs.Arch{"SCMP_ARCH_Z80"} },
		"SCMP_CMP_X":                    func(s *specs.LinuxSeccomp) { s.Syscalls[0].Args = []specs.LinuxSeccompArg{{Op: "SCMP_CMP_X"}} },
		"FILTER_FLAG_X":                 func(s *specs.LinuxSeccomp) { s.Flags = []specs.LinuxSeccompFlag{"FILTER_FLAG_X"} },
		"(?i)errno":                     func(s *specs.LinuxSeccomp) { s.DefaultErrnoRet = ptr(uint(1)) },
		"listenerMetadata|listenerPath": func(s *specs.LinuxSeccomp) { s.ListenerMetadata = "x" },
	} {
		b := newBundle(t)
		b.rule(specs.LinuxSyscall{Names: []string{callMe}, Action: specs.ActAllow})
		change(b.spec.Linux.Seccomp)
		b.fails(want)
	}
}

// A default that refuses: what is not named gets its errno.
func TestSeccompDefaultErrno(t *testing.T) {
	b := newBundle(t)
	b.rule(specs.LinuxSyscall{Action: specs.ActAllow})
	s := b.spec.Linux.Seccomp
	s.DefaultAction, s.DefaultErrnoRet = specs.ActErrno, ptr(uint(unix.EXDEV))
	s.Syscalls[0].Names = strings.Fields(`read write close fstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn ioctl pread64
		access madvise nanosleep getpid clone clone3 execve exit fcntl getcwd readlink readlinkat arch_prctl gettid futex sched_getaffinity sched_yield exit_group
		openat newfstatat set_robust_list prlimit64 getrandom rseq epoll_create1 epoll_ctl epoll_pwait eventfd2 pipe2 sigaltstack tgkill uname capset prctl setuid setgid
		setgroups setresuid setresgid sendmsg sendto recvmsg getuid getgid geteuid getegid close_range fchdir chdir umask stat statfs fstatfs seccomp faccessat faccessat2 dup3 ppoll getdents64 clock_gettime set_tid_address`)
	if got := b.says(); got != "EXDEV" {
		t.Errorf("answer %q, want EXDEV", got)
	}
}

// The agent gets the state and the descriptor.
func TestSeccompNotify(t *testing.T) {
	b := newBundle(t, "/bin/sleep", "600")
	b.rule(specs.LinuxSyscall{Names: []string{callMe}, Action: specs.ActNotify})
	b.spec.Process.Args = []string{"/bin/sleep", "600"}
	path := filepath.Join(b.temp("agent"), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	b.must(err)
	defer l.Close()
	b.spec.Linux.Seccomp.ListenerPath, b.spec.Linux.Seccomp.ListenerMetadata = path, "for the agent"
	type got struct {
		state specs.ContainerProcessState
		fds   int
		err   error
	}
	done := make(chan got, 1)
	go func() {
		var g got
		defer func() { done <- g }()
		conn, err := l.AcceptUnix()
		if err != nil {
			g.err = err
			return
		}
		defer conn.Close()
		data, oob := make([]byte, 1<<16), make([]byte, unix.CmsgSpace(4))
		n, on, _, _, err := conn.ReadMsgUnix(data, oob)
		if err == nil {
			err = json.Unmarshal(data[:n], &g.state)
		}
		g.err = err
		if m, err := unix.ParseSocketControlMessage(oob[:on]); err == nil && len(m) == 1 {
			fds, _ := unix.ParseUnixRights(&m[0])
			g.fds = len(fds)
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
		}
	}()
	b.start()
	g := <-done
	if g.err != nil || g.fds != 1 || g.state.Metadata != "for the agent" || len(g.state.Fds) != 1 || g.state.Fds[0] != specs.SeccompFdName || g.state.State.ID != b.id || g.state.Pid == 0 {
		t.Errorf("the agent gets %+v", g)
	}
	b.ok("delete", "--force", b.id)
	b = newBundle(t)
	b.rule(specs.LinuxSyscall{Names: []string{callMe}, Action: specs.ActNotify})
	b.spec.Linux.Seccomp.ListenerPath = filepath.Join(b.dir, "nobody")
	if r := b.run(); r.code == 0 {
		t.Error("runs without its agent")
	}
}
