package faults

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berth-containers/berth/test/harness"
	"github.com/creack/pty"
)

// killShim kills the shim and returns when another one has taken over.
func killShim(t *testing.T, e *harness.Engine) {
	t.Helper()
	old := e.ShimPid()
	e.KillShim()
	harness.Eventually(t, "a new shim", func() bool { pid := e.ShimPid(); return pid != 0 && pid != old })
	e.OK("run", "--rm", "busybox", "true")
}

func awaitState(t *testing.T, e *harness.Engine, name, want string) {
	t.Helper()
	var got string
	if !harness.Await(func() bool { got = state(e, name); return got == want }) {
		t.Fatalf("%s is %q, not %q", name, got, want)
	}
}

// pause chooses the moment at which something is killed; it decides nothing.
func pause(milliseconds int) {
	<-time.After(time.Duration(milliseconds) * time.Millisecond)
}

// terminal is an attached client with a pseudo-terminal of its own.
type terminal struct {
	t    *testing.T
	tty  *os.File
	done chan struct{}

	mu   sync.Mutex
	text bytes.Buffer
}

func attach(t *testing.T, e *harness.Engine, name string) *terminal {
	t.Helper()
	cmd := e.Command("berth", "attach", "--detach-keys", "ctrl-a", name)
	tty, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	a := &terminal{t: t, tty: tty, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		buf := make([]byte, 4096)
		for {
			n, err := tty.Read(buf)
			a.mu.Lock()
			a.text.Write(buf[:n])
			a.mu.Unlock()
			if err != nil {
				_ = cmd.Wait()
				return
			}
		}
	}()
	return a
}

func (a *terminal) say(line string) {
	a.t.Helper()
	if _, err := a.tty.WriteString(line + "\n"); err != nil {
		a.t.Fatal(err)
	}
}

func (a *terminal) await(text string) {
	a.t.Helper()
	harness.Eventually(a.t, text, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return strings.Contains(a.text.String(), text)
	})
}

// leave detaches and waits until the client has gone.
func (a *terminal) leave() {
	a.t.Helper()
	_, _ = a.tty.Write([]byte{1})
	select {
	case <-a.done:
	case <-time.After(harness.Patience):
		a.t.Error("the client does not detach")
	}
	a.tty.Close()
}

// reboot ends everything that does not survive a reboot of the machine.
func reboot(t *testing.T, e *harness.Engine, containers ...string) {
	t.Helper()
	var pids []string
	for _, name := range containers {
		pids = append(pids, e.OK("inspect", "-f", "{{.State.Pid}}", name))
	}
	e.Kill()
	if e.ShimPid() != 0 {
		e.KillShim()
	}
	for _, text := range pids {
		kill(t, text)
	}
	if err := os.RemoveAll(e.ExecRoot); err != nil {
		t.Fatal(err)
	}
	v1, _ := filepath.Glob("/sys/fs/cgroup/*" + e.CgroupParent + "/*")
	v2, _ := filepath.Glob("/sys/fs/cgroup" + e.CgroupParent + "/*")
	for _, dir := range append(v1, v2...) {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		harness.Eventually(t, "cgroup "+dir+" to go", func() bool { err := syscall.Rmdir(dir); return err == nil || err == syscall.ENOENT })
	}
	e.Start()
}

func kill(t *testing.T, pid string) {
	t.Helper()
	n := number(t, pid)
	if n <= 1 {
		return // it had no process
	}
	_ = syscall.Kill(n, syscall.SIGKILL)
	harness.Eventually(t, "process "+pid+" to end", func() bool { return syscall.Kill(n, 0) != nil })
}
