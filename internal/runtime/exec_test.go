package runtime_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/runtime"
)

// noChildren is an error if a process of ours is left.
func noChildren() error {
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	if errors.Is(err, syscall.ECHILD) {
		return nil
	}
	return fmt.Errorf("a child is left: %d, %v", pid, err)
}

// sleeper starts a container that waits to be killed.
func sleeper(t *testing.T, r *runtime.Runtime, change func(*specs.Spec)) (*runtime.Container, *specs.Spec) {
	t.Helper()
	s := spec("sleep", "1000")
	if change != nil {
		change(s)
	}
	c, err := r.Create(bounded(t), runtime.CreateOptions{ID: "sleeper", Spec: s, Rootfs: rootfs(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(c.Pid, syscall.SIGKILL)
		wait(t, c.Pid)
		c.Pidfd.Close()
		if err := r.RemoveCgroup(c.CgroupPath); err != nil {
			t.Error(err)
		}
	})
	return c, s
}

func execIn(t *testing.T, r *runtime.Runtime, c *runtime.Container, s *specs.Spec, change func(*specs.Process), args ...string) (string, int, error) {
	t.Helper()
	p := *s.Process
	p.Args = args
	if change != nil {
		change(&p)
	}
	out := newOutput(t)
	proc, err := r.Exec(bounded(t), runtime.ExecOptions{Pid: c.Pid, CgroupPath: c.CgroupPath, Spec: s, Process: &p, Stdio: [3]*os.File{nil, out.w, out.w}})
	if err != nil {
		return out.String(), -1, err
	}
	text, code := out.String(), wait(t, proc.Pid)
	proc.Pidfd.Close()
	return text, code, nil
}

func TestExec(t *testing.T) {
	r := newRuntime(t)
	c, s := sleeper(t, r, func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
			Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno}}}
	})
	for _, tc := range []struct {
		name   string
		script string
		change func(*specs.Process)
		want   string
	}{
		{name: "joins the namespaces", script: "hostname; cd /proc/self/ns; for n in mnt pid net ipc uts cgroup; do test $(readlink $n) = $(readlink /proc/1/ns/$n) && echo $n; done",
			want: "box\nmnt\npid\nnet\nipc\nuts\ncgroup"},
		{name: "has no descriptor but stdio", script: "ls /proc/$$/fd", want: "0\n1\n2"},
		{name: "has the user", script: "id; echo $HOME", change: func(p *specs.Process) { p.User.Username = "web:logs" },
			want: "uid=33(web) gid=40(logs) groups=40(logs)\n/tmp"},
		{name: "has the filter", script: "grep Seccomp: /proc/self/status; mkdir /q", want: "Seccomp:\t2\nmkdir: can't create directory '/q': Operation not permitted"},
		{name: "has the capabilities", script: "grep CapEff /proc/self/status", want: "CapEff:\t00000000a80425fb"},
		{name: "sees the working directory", script: "pwd", change: func(p *specs.Process) { p.Cwd = "/etc" }, want: "/etc"},
		{name: "is a session leader", script: "test $(ps -o pid,sid 2>/dev/null | grep -c x) = 0; read a b c d e f g </proc/$$/stat; test $a = $f && echo yes", want: "yes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, code, err := execIn(t, r, c, s, tc.change, "sh", "-c", tc.script+"\ntrue")
			if err != nil || code != 0 || strings.TrimSpace(out) != tc.want {
				t.Errorf("code %d, %v\ngot  %q\nwant %q", code, err, out, tc.want)
			}
		})
	}
	for args, kind := range map[string]func(error) bool{"nope": errdefs.IsNotFound, "noexec": errdefs.IsPermissionDenied} {
		if _, _, err := execIn(t, r, c, s, nil, args); !kind(err) {
			t.Errorf("%s: %v", args, err)
		}
	}
	if _, code, err := execIn(t, r, c, s, nil, "sh", "-c", "exit 7"); err != nil || code != 7 {
		t.Errorf("code %d, %v", code, err)
	}
	if _, _, err := execIn(t, r, c, s, func(p *specs.Process) { p.Cwd = "/missing" }, "true"); !errdefs.IsNotFound(err) {
		t.Errorf("missing working directory: %v", err)
	}
}

// Who joins the namespace lands on its topmost root: nothing of the host's, nor
// of the steps that the root was made in, may be left there.
func TestExecSeesTheSameRoot(t *testing.T) {
	r := newRuntime(t)
	root := rootfs(t)
	root.Lowers, root.Host, root.Hidden = nil, true, []string{"/etc/hostname", "/etc/shadow"}
	s := spec("/bin/sleep", "1000")
	c, err := r.Create(bounded(t), runtime.CreateOptions{ID: "host", Spec: s, Rootfs: root})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Pidfd.Close()
	defer kill(t, c.Pid)
	out, _, err := execIn(t, r, c, s, nil, "/bin/sh", "-c", "ls /etc/shadow /etc/hostname 2>/dev/null; head -n 1 /proc/self/mountinfo; stat -c %d:%i / /proc/1/root/")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || len(lines) != 3 || !strings.Contains(lines[0], " / / rw,relatime - overlay overlay ") || lines[1] != lines[2] {
		t.Errorf("%q, %v", out, err)
	}
}

func TestExecInEndedContainer(t *testing.T) {
	r := newRuntime(t)
	s := spec("true")
	c, err := r.Create(bounded(t), runtime.CreateOptions{ID: "gone", Spec: s, Rootfs: rootfs(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	wait(t, c.Pid)
	c.Pidfd.Close()
	if _, _, err := execIn(t, r, c, s, nil, "true"); !errdefs.IsFailedPrecondition(err) {
		t.Error(err)
	}
}

// readTerminal reads until the terminal's last user is gone.
func readTerminal(t *testing.T, console *os.File) string {
	t.Helper()
	b, err := io.ReadAll(console)
	if err != nil && !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

func readUntil(t *testing.T, console *os.File, text string) string {
	t.Helper()
	if err := console.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var all []byte
	for !strings.HasSuffix(string(all), text) {
		var b [256]byte
		n, err := console.Read(b[:])
		if err != nil {
			t.Fatalf("%q: %v", all, err)
		}
		all = append(all, b[:n]...)
	}
	return strings.ReplaceAll(string(all), "\r\n", "\n")
}

func TestTerminal(t *testing.T) {
	const script = "tty; stty size; test -t 0 -a -t 1 -a -t 2 && echo all; echo >/dev/tty controlling"
	r := newRuntime(t)
	s := spec("sh", "-c", script+"; ls /dev/console; read line; echo got $line")
	s.Process.Terminal, s.Process.ConsoleSize = true, &specs.Box{Height: 33, Width: 111}
	c, err := r.Create(bounded(t), runtime.CreateOptions{ID: "tty", Spec: s, Rootfs: rootfs(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	// Its echo would come between the lines.
	got := readUntil(t, c.Console, "/dev/console\r\n")
	if _, err := c.Console.WriteString("typed\n"); err != nil {
		t.Fatal(err)
	}
	got += readTerminal(t, c.Console)
	wait(t, c.Pid)
	c.Console.Close()
	c.Pidfd.Close()
	for _, want := range []string{"/dev/pts/0\n33 111\nall\ncontrolling\n", "/dev/console\n", "got typed\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}

	c, s = sleeper(t, r, nil)
	p := *s.Process
	p.Terminal, p.Args, p.ConsoleSize = true, []string{"sh", "-c", script}, &specs.Box{Height: 10, Width: 20}
	proc, err := r.Exec(bounded(t), runtime.ExecOptions{Pid: c.Pid, Spec: s, Process: &p})
	if err != nil {
		t.Fatal(err)
	}
	got = readTerminal(t, proc.Console)
	wait(t, proc.Pid)
	proc.Console.Close()
	proc.Pidfd.Close()
	if got != "/dev/pts/0\n10 20\nall\ncontrolling\n" {
		t.Errorf("exec: %q", got)
	}
}

func TestGateAcrossProcesses(t *testing.T) {
	for _, tc := range []struct {
		command string
		kind    func(error) bool
		code    int
	}{
		{"true", func(err error) bool { return err == nil }, 0},
		{"nope", errdefs.IsNotFound, 1},
	} {
		r := newRuntime(t)
		path := filepath.Join(t.TempDir(), "start.sock")
		gate, err := runtime.NewGate(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.Create(bounded(t), runtime.CreateOptions{ID: "gate", Spec: spec(tc.command), Rootfs: rootfs(t), Gate: gate})
		if err != nil {
			t.Fatal(err)
		}
		gate.Close()
		if err := c.Release(); err != nil {
			t.Fatal(err)
		}
		if _, err := runtime.StartThrough(bounded(t), path); !tc.kind(err) {
			t.Errorf("%s: %v", tc.command, err)
		}
		if code := wait(t, c.Pid); code != tc.code {
			t.Errorf("%s: code %d", tc.command, code)
		}
		c.Pidfd.Close()
	}
}

func TestJoinNamespaces(t *testing.T) {
	r := newRuntime(t)
	c, _ := sleeper(t, r, nil)
	s := spec("sh", "-c", "hostname; readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; readlink /proc/self/ns/pid; ls /proc/1/exe; test $$ = 1 || echo second; cat /proc/1/cmdline")
	s.Hostname = ""
	var want []string
	for i, ns := range s.Linux.Namespaces {
		name := map[specs.LinuxNamespaceType]string{"network": "net", "pid": "pid", "ipc": "ipc", "uts": "uts"}[ns.Type]
		if name != "" {
			s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/%s", c.Pid, name)
		}
	}
	for _, name := range []string{"net", "ipc", "pid"} {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", c.Pid, name))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, link)
	}
	out := must(t, s, rootfs(t))
	if !strings.HasPrefix(out, "box\n"+strings.Join(want, "\n")) || !strings.Contains(out, "second") || !strings.Contains(out, "sleep") {
		t.Errorf("%q", out)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	r := newRuntime(t)
	before := openFiles(t)
	c, err := r.Create(bounded(t), runtime.CreateOptions{ID: "abort", Spec: spec("true"), Rootfs: rootfs(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := noChildren(); err != nil {
		t.Error(err)
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestDescriptorsDoNotLeak(t *testing.T) {
	r := newRuntime(t)
	c, s := sleeper(t, r, nil)
	before := openFiles(t)
	for range 5 {
		if _, _, err := execIn(t, r, c, s, nil, "true"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := execIn(t, r, c, s, nil, "nope"); err == nil {
			t.Fatal("no error")
		}
		if _, _, err := run(t, spec("nope"), rootfs(t)); err == nil {
			t.Fatal("no error")
		}
		must(t, spec("true"), rootfs(t))
	}
	// run opens a runtime of its own, of three descriptors, for each of its ten calls.
	if after := openFiles(t); after > before+3*10 {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestInitReaps(t *testing.T) {
	s := spec("/sbin/docker-init", "--", "sh", "-c", "(sleep 0.01 &); exit 9")
	s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: initBinary, Destination: "/sbin/docker-init", Options: []string{"bind", "ro"}})
	if out, code, err := run(t, s, rootfs(t)); err != nil || code != 9 {
		t.Fatal(out, code, err)
	}
	s.Process.Args = []string{"/sbin/docker-init", "--", "nope"}
	if out, code, err := run(t, s, rootfs(t)); err != nil || code != 127 {
		t.Fatal(out, code, err)
	}
	s.Process.Args = []string{"/sbin/docker-init", "--", "sh", "-c", "kill -TERM 1; sleep 100"}
	if out, code, err := run(t, s, rootfs(t)); err != nil || code != 143 {
		t.Fatal(out, code, err)
	}
}

func kill(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait(t, pid)
}
