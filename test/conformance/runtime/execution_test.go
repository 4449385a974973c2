package conformance

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/test/conformance/runtime/look"
)

func TestScheduler(t *testing.T) {
	const batch, idle, resetOnFork = 3, 5, 1
	for _, row := range []struct {
		name string
		s    specs.Scheduler
		want look.Sched
	}{
		{"other", specs.Scheduler{Policy: specs.SchedOther, Nice: 4}, look.Sched{Nice: 4}},
		{"batch", specs.Scheduler{Policy: specs.SchedBatch, Nice: 7, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}, look.Sched{Policy: batch, Nice: 7, Flags: resetOnFork}},
		{"idle", specs.Scheduler{Policy: specs.SchedIdle}, look.Sched{Policy: idle}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBundle(t)
			b.spec.Process.Scheduler = &row.s
			got := b.looks().Sched
			got.Runtime, got.Deadline, got.Period = 0, 0, 0 // the fair class tells its slice here
			if got != row.want {
				t.Errorf("scheduled as %+v, want %+v", got, row.want)
			}
		})
	}
	for name, s := range map[string]specs.Scheduler{
		"SCHED_FASTEST": {Policy: "SCHED_FASTEST"},
		"SCHED_FLAG_X":  {Policy: specs.SchedBatch, Flags: []specs.LinuxSchedulerFlag{"SCHED_FLAG_X"}},
		"deadline":      {Policy: specs.SchedOther, Runtime: 1, Deadline: 2, Period: 3},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t)
			b.spec.Process.Scheduler = &s
			if r := b.run(); r.code == 0 || !foreign() && !strings.Contains(r.err, name) && !strings.Contains(r.err, "scheduler") {
				t.Errorf("exit %d: %s", r.code, r.err)
			}
		})
	}
}

// Real time needs a share of it in the cgroup on v1, and none on v2.
func TestRealtimeScheduler(t *testing.T) {
	for policy, number := range map[specs.LinuxSchedulerPolicy]uint64{specs.SchedFIFO: 1, specs.SchedRR: 2} {
		b := newBundle(t)
		if !unified() {
			b.spec.Linux.Resources.CPU = &specs.LinuxCPU{RealtimeRuntime: ptr(int64(1000)), RealtimePeriod: ptr(uint64(1000000))}
		}
		b.spec.Process.Scheduler = &specs.Scheduler{Policy: policy, Priority: 9}
		if got := b.looks().Sched; got.Policy != number || got.Priority != 9 {
			t.Errorf("%s: %+v", policy, got)
		}
	}
}

func TestIOPriority(t *testing.T) {
	for class, number := range map[specs.IOPriorityClass]int{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3} {
		b := newBundle(t)
		b.spec.Process.IOPriority = &specs.LinuxIOPriority{Class: class, Priority: 6}
		if got := b.looks().IOPriority; got.Class != number || got.Level != 6 {
			t.Errorf("%s: %+v, want class %d, level 6", class, got, number)
		}
	}
	b := newBundle(t)
	b.spec.Process.IOPriority = &specs.LinuxIOPriority{Class: "IOPRIO_CLASS_X"}
	if r := b.run(); r.code == 0 || !foreign() && !strings.Contains(r.err, "IOPRIO_CLASS_X") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
}

func TestMemoryPolicy(t *testing.T) {
	const bind, interleave, static = 2, 3, 1 << 15
	for _, row := range []struct {
		policy specs.LinuxMemoryPolicy
		mode   int
	}{
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}, bind},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}, interleave | static},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolDefault}, 0},
	} {
		b := newBundle(t)
		b.spec.Linux.MemoryPolicy = &row.policy
		got := b.looks().MemoryPolicy
		if got.Mode != row.mode || row.mode != 0 && !slices.Equal(got.Nodes, []int{0}) {
			t.Errorf("%+v: %+v, want mode %#x", row.policy, got, row.mode)
		}
	}
	for want, p := range map[string]specs.LinuxMemoryPolicy{"MPOL_X": {Mode: "MPOL_X"}, "MPOL_F_X": {Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{"MPOL_F_X"}}, "nodes|4-": {Mode: specs.MpolBind, Nodes: "4-"}} {
		b := newBundle(t)
		b.spec.Linux.MemoryPolicy = &p
		b.fails(want)
	}
}

func TestExecCPUAffinity(t *testing.T) {
	if read("/sys/devices/system/cpu/online") == "0\n" {
		t.Skip("the host has one processor")
	}
	b := newBundle(t, "/probe", "hold")
	b.spec.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "1"}
	before := b.holds().Affinity
	e := b.exec("/probe")
	if e.code != 0 {
		t.Fatalf("exec: %s", e.err)
	}
	if got := b.report(e.out).Affinity; !slices.Equal(got, []int{1}) || len(before) < 2 {
		t.Errorf("exec's process is on CPUs %v and the first on %v; want 1, and all", got, before)
	}
	b.stopped("TERM")
}

// Labels are an error where the host has no such module: the container would run
// without what it asked for.
func TestLabels(t *testing.T) {
	apparmor := strings.TrimSpace(read("/sys/module/apparmor/parameters/enabled")) == "Y"
	for name, change := range map[string]func(*specs.Spec){
		"apparmor": func(s *specs.Spec) { s.Process.ApparmorProfile = "no-such-profile" },
		"selinux":  func(s *specs.Spec) { s.Process.SelinuxLabel = "system_u:system_r:svirt_lxc_net_t:s0:c124,c675" },
		"label":    func(s *specs.Spec) { s.Linux.MountLabel = "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t)
			change(b.spec)
			if r := b.run(); r.code == 0 || !strings.Contains(strings.ToLower(r.err), name) {
				t.Errorf("exit %d: %s", r.code, r.err)
			}
		})
	}
	b := newBundle(t)
	b.spec.Process.ApparmorProfile = "unconfined"
	if r := b.looks(); apparmor && r.Attr != "unconfined" {
		t.Errorf("the profile is %q, want unconfined", r.Attr)
	}
}

// consoleSocket takes a terminal's master from the runtime.
type consoleSocket struct {
	path     string
	listener *net.UnixListener
}

func (b *bundle) consoleSocket() consoleSocket {
	b.t.Helper()
	path := filepath.Join(b.temp("console"), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	b.must(err)
	b.undo(func() { _ = l.Close() })
	return consoleSocket{path, l}
}

func (c consoleSocket) master(t *testing.T) *os.File {
	t.Helper()
	conn, err := c.listener.AcceptUnix()
	must(t, err)
	defer conn.Close()
	data, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(data, oob)
	must(t, err)
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	must(t, err)
	fds, err := unix.ParseUnixRights(&messages[0])
	must(t, err)
	return os.NewFile(uintptr(fds[0]), "master")
}

func TestTerminal(t *testing.T) {
	b := newBundle(t, "/probe", "hold")
	b.spec.Process.Terminal = true
	b.spec.Process.ConsoleSize = &specs.Box{Height: 33, Width: 101}
	b.spec.Process.User.UID = 1000
	socket := b.consoleSocket()
	b.create("--console-socket", socket.path)
	master := socket.master(t)
	defer master.Close()
	b.ok("start", b.id)
	var text []byte
	for buffer := make([]byte, 4096); !strings.Contains(string(text), "\n"); {
		n, err := master.Read(buffer)
		if err != nil {
			t.Fatalf("read the terminal: %v after %q", err, text)
		}
		text = append(text, buffer[:n]...)
	}
	r := b.report(string(text))
	if r.Terminal == nil || r.Terminal.Rows != 33 || r.Terminal.Columns != 101 || !strings.HasPrefix(r.Terminal.Name, "/dev/pts/") {
		t.Errorf("the terminal is %+v, want 33 × 101", r.Terminal)
	}
	if m, ok := r.Mount("/dev/console"); !ok || m.Type != "devpts" {
		t.Errorf("/dev/console: %+v", m)
	}
	if r.Sid != r.Pid {
		t.Errorf("session %d of process %d: no session of its own", r.Sid, r.Pid)
	}
	if e := b.exec("/probe", "try", "stat,"+r.Terminal.Name); !strings.Contains(e.out, " 1000:") {
		t.Errorf("the terminal belongs to %s, want the user", e.out)
	}
	b.stopped("TERM")
}

// "Runtimes MUST ignore consoleSize if terminal is false or unset."
func TestConsoleSizeWithoutTerminal(t *testing.T) {
	b := newBundle(t)
	b.spec.Process.ConsoleSize = &specs.Box{Height: 33, Width: 101}
	if r := b.looks(); r.Terminal != nil {
		t.Errorf("a terminal: %+v", r.Terminal)
	}
}

func TestPreservedDescriptors(t *testing.T) {
	b := newBundle(t)
	b.save()
	b.ids = append(b.ids, b.id)
	file, err := os.Open(filepath.Join(b.dir, "config.json"))
	b.must(err)
	defer file.Close()
	cmd := b.prepare("run", "--preserve-fds", "1", b.id)
	cmd.ExtraFiles = []*os.File{file, file}
	r := b.report(b.do(cmd).out)
	if r.Fds[3] == "" || r.Fds[4] != "" {
		t.Errorf("descriptors %v, want 3 and no more", r.Fds)
	}
	b = newBundle(t)
	b.save()
	b.ids = append(b.ids, b.id)
	cmd = b.prepare("run", b.id)
	cmd.ExtraFiles = []*os.File{file}
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1")
	r = b.report(b.do(cmd).out)
	fds, _ := r.Getenv("LISTEN_FDS")
	pid, _ := r.Getenv("LISTEN_PID")
	if r.Fds[3] == "" || fds != "1" || pid != "1" {
		t.Errorf("descriptors %v, LISTEN_FDS=%s, LISTEN_PID=%s", r.Fds, fds, pid)
	}
}

func TestBadExecCPUAffinity(t *testing.T) {
	b := newBundle(t)
	b.spec.Process.ExecCPUAffinity = &specs.CPUAffinity{Final: "x-y"}
	b.fails("x-y|execCPUAffinity")
}
