package e2e

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/berth-containers/berth/test/harness"
)

// terminal is a client that runs on a pseudo-terminal of its own.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	file *os.File
	done chan error

	mu  sync.Mutex
	out bytes.Buffer
}

func open(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 33, Cols: 77})
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, cmd: cmd, file: file, done: make(chan error, 1)}
	go func() {
		_, _ = io.Copy(x, file)
		x.done <- cmd.Wait()
	}()
	t.Cleanup(func() { file.Close() })
	return x
}

func (x *terminal) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.out.Write(p)
}

func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.out.String()
}

func (x *terminal) send(s string) {
	x.t.Helper()
	if _, err := x.file.WriteString(s); err != nil {
		x.t.Fatal(err)
	}
}

func (x *terminal) expect(s string) {
	x.t.Helper()
	if !harness.Await(func() bool { return strings.Contains(x.text(), s) }) {
		x.t.Fatalf("the terminal lacks %q: %q", s, x.text())
	}
}

// ends waits for the client and returns its exit code.
func (x *terminal) ends() int {
	x.t.Helper()
	err := <-x.done
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	if err != nil {
		x.t.Fatal(err)
	}
	return 0
}

// The same session with our client and with the stock one.
func TestTerminal(t *testing.T) {
	e := engine(t)
	for _, client := range []string{"berth", "docker"} {
		t.Run(client, func(t *testing.T) {
			name := "tty-" + client
			x := open(t, e.Command(client, "run", "-it", "--name", name, "busybox", "sh"))
			x.send("tty\n")
			x.expect("/dev/pts/0")
			harness.Eventually(t, "the size, which older clients set after the start", func() bool {
				x.send("stty size\n")
				return strings.Contains(x.text(), "33 77")
			})
			if err := pty.Setsize(x.file, &pty.Winsize{Rows: 44, Cols: 99}); err != nil {
				t.Fatal(err)
			}
			harness.Eventually(t, "the new size", func() bool {
				x.send("stty size\n")
				return strings.Contains(x.text(), "44 99")
			})
			x.send("sleep 1000\n")
			x.expect("sleep 1000")
			harness.Eventually(t, "the sleep", func() bool { return strings.Contains(e.OK("top", name), "sleep 1000") })
			x.send("\x03")
			x.send("echo after-$((40+2))\n")
			x.expect("after-42")

			x.send("\x10\x11") // ctrl-p ctrl-q
			if code := x.ends(); code != 0 {
				t.Errorf("detach: exit %d", code)
			}
			if got := e.OK("inspect", "-f", "{{.State.Running}}", name); got != "true" {
				t.Fatalf("running after detach: %s", got)
			}
			y := open(t, e.Command(client, "attach", name))
			harness.Eventually(t, "an answer after attach", func() bool {
				y.send("echo back-$((1+1))\n")
				return strings.Contains(y.text(), "back-2")
			})
			y.send("exit 5\n")
			if code := y.ends(); code != 5 {
				t.Errorf("attach: exit %d", code)
			}
		})
	}
}

func TestExecTerminal(t *testing.T) {
	e := engine(t)
	e.OK("run", "-d", "--name", "cc", "busybox", "sleep", "1000")
	for _, client := range []string{"berth", "docker"} {
		x := open(t, e.Command(client, "exec", "-it", "cc", "sh"))
		x.send("tty\n")
		x.expect("/dev/pts/")
		harness.Eventually(t, "the size, which older clients set after the start", func() bool {
			x.send("stty size\n")
			return strings.Contains(x.text(), "33 77")
		})
		x.send("exit 3\n")
		if code := x.ends(); code != 3 {
			t.Errorf("%s exec -it: exit %d", client, code)
		}
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	e := engine(t)
	for _, client := range []string{"berth", "docker"} {
		name := "sig-" + client
		cmd := e.Command(client, "run", "--name", name, "busybox", "sh", "-c", "trap 'echo got; exit 4' INT; echo up; while :; do sleep 0.05; done")
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the container", func() bool { return strings.Contains(e.Berth("logs", name).Out, "up") })
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if cmd.ProcessState.ExitCode() != 4 || !strings.Contains(out.String(), "got") {
			t.Errorf("%s: %v, %q", client, cmd.ProcessState, out.String())
		}
	}
}
