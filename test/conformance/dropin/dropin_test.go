// Package dropin puts berth-runtime into the engines of Debian, in the place of
// their own runtime: podman, dockerd, and containerd by its command ctr. Each
// has its own folders and cgroups in a lab without a way out, and leaves nothing.
package dropin

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/test/harness"
)

// patience bounds each command of an engine.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	harness.Enter(func() int {
		// Engines keep sockets and locks in /run whatever their flags say.
		if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
			fmt.Fprintln(os.Stderr, "mount /run:", err)
			return 1
		}
		return m.Run()
	})
}

// engine is one of the engines.
type engine struct {
	t       *testing.T
	dir     string
	cgroup  string // parent of the containers'
	command []string
}

func newEngine(t *testing.T, name string, binaries ...string) *engine {
	t.Helper()
	for _, b := range append(binaries, "script") {
		if _, err := exec.LookPath(b); err != nil {
			t.Fatalf("%s is needed (packages podman, docker.io, bsdutils): %v", b, err)
		}
	}
	dir, err := os.MkdirTemp("", "dropin-")
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, dir: dir, cgroup: fmt.Sprintf("dropin-%s-%d", name, time.Now().UnixNano())}
	t.Cleanup(func() {
		// A monitor ends a moment after its container.
		if !harness.Await(func() bool {
			for _, group := range slices.Backward(harness.Cgroups(e.cgroup)) {
				_ = os.Remove(group)
			}
			return len(harness.Cgroups(e.cgroup)) == 0
		}) {
			t.Errorf("cgroups are left: %v", harness.Cgroups(e.cgroup))
		}
		_ = os.RemoveAll(dir)
	})
	return e
}

// try runs a command of the engine's and returns what it wrote and its code. Its input
// stays open: with the end of it script(1) hangs up before all output is through.
func (e *engine) try(args ...string) (string, int) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	args = append(slices.Clone(e.command), args...)
	out := filepath.Join(e.dir, "out")
	f, err := os.Create(out)
	if err != nil {
		e.t.Fatal(err)
	}
	defer f.Close()
	// A file: what stays behind a command must not keep us waiting.
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env = f, f, append(os.Environ(), "TMPDIR="+e.dir)
	input, held, err := os.Pipe()
	if err != nil {
		e.t.Fatal(err)
	}
	cmd.Stdin = input
	err = cmd.Run()
	held.Close()
	input.Close()
	text, readErr := os.ReadFile(out)
	if cmd.ProcessState == nil || readErr != nil {
		e.t.Fatal(args, err, readErr)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// expect runs a command that ends with code and whose output has want in it.
func (e *engine) expect(code int, want string, args ...string) {
	e.t.Helper()
	out, got := e.try(args...)
	if got != code || !strings.Contains(out, want) {
		e.t.Fatalf("%s: code %d, %q; want code %d, %q", strings.Join(args, " "), got, out, code, want)
	}
}

// expectTerminal is expect with a terminal.
func (e *engine) expectTerminal(want string, args ...string) {
	e.t.Helper()
	own := *e
	own.command = nil
	own.expect(0, want, "script", "-qec", strings.Join(append(slices.Clone(e.command), args...), " "), "/dev/null")
}

// root makes a root file system of busybox.
func (e *engine) root() string {
	e.t.Helper()
	root := filepath.Join(e.dir, "rootfs")
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		e.t.Fatal(err)
	}
	b, err := os.ReadFile("/bin/busybox")
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "bin/busybox"), b, 0o755)
	}
	for _, name := range []string{"sh", "sleep", "true", "echo", "cat", "id", "tty"} {
		if err == nil {
			err = os.Symlink("busybox", filepath.Join(root, "bin", name))
		}
	}
	if err != nil {
		e.t.Fatal(err)
	}
	return root
}

// image makes the image bb.
func (e *engine) image() {
	e.t.Helper()
	tar := filepath.Join(e.dir, "bb.tar")
	if out, err := exec.Command("tar", "-C", e.root(), "-cf", tar, ".").CombinedOutput(); err != nil {
		e.t.Fatalf("tar: %v: %s", err, out)
	}
	e.expect(0, "", "import", tar, "bb")
}

func TestPodman(t *testing.T) {
	e := newEngine(t, "podman", "podman", "conmon")
	e.command = []string{"podman", "--root", e.dir + "/root", "--runroot", e.dir + "/run", "--tmpdir", e.dir + "/tmp", "--storage-driver", "vfs",
		"--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", harness.Bin(t, "berth-runtime")}
	t.Cleanup(func() { e.try("rm", "--all", "--force") })
	e.image()
	run := func(more ...string) []string {
		return append([]string{"run", "--network", "none", "--cgroup-parent", "/" + e.cgroup}, more...)
	}
	e.verbs(run)
	e.expect(0, "", "update", "--memory", "64m", "aa")
	if !e.limited("67108864") {
		t.Error("update changed no memory limit")
	}
	e.expect(0, "aa", "stats", "--no-stream", "aa")
	e.expect(0, "", "healthcheck", "run", "aa")
	e.expect(0, "sleep 1000", "top", "aa")
	e.ends(run)
}

func TestDockerd(t *testing.T) {
	e := newEngine(t, "docker", "dockerd", "docker", "containerd")
	host := "unix://" + e.dir + "/s"
	e.command = []string{"docker", "--host", host}
	d := &daemon{t: t, log: filepath.Join(e.dir, "log"), ready: func() bool { _, code := e.try("version"); return code == 0 },
		args: []string{"dockerd", "--data-root", e.dir + "/root", "--exec-root", e.dir + "/exec", "--pidfile", e.dir + "/pid", "--host", host,
			"--storage-driver", "vfs", "--iptables=false", "--ip6tables=false", "--bridge=none", "--cgroup-parent", "/" + e.cgroup,
			"--live-restore", "--add-runtime", "berth=" + harness.Bin(t, "berth-runtime"), "--default-runtime", "berth"}}
	t.Cleanup(d.stop)
	d.start()
	e.image()
	run := func(more ...string) []string { return append([]string{"run", "--network", "none"}, more...) }
	e.verbs(run)
	e.expect(0, "", "update", "--memory", "64m", "--memory-swap", "64m", "aa")
	e.expect(0, "64MiB", "stats", "--no-stream", "aa")
	e.expect(0, "sleep 1000", "top", "aa")
	harness.Eventually(t, "a healthy container", func() bool {
		out, _ := e.try("inspect", "--format", "{{.State.Health.Status}}", "aa")
		return strings.TrimSpace(out) == "healthy"
	})
	d.stop()
	d.start()
	e.expect(0, "Up", "ps", "--format", "{{.Status}}", "--filter", "name=aa")
	e.expect(0, "still", "exec", "aa", "echo", "still")
	e.ends(run)
	e.expect(127, "executable file not found", run("--rm", "bb", "nope")...)
	e.expect(0, "", run("--rm", "--privileged", "bb", "true")...)
}

// verbs start the container aa and do with it what engines do.
func (e *engine) verbs(run func(...string) []string) {
	e.t.Helper()
	e.expect(0, "hello", run("--rm", "bb", "echo", "hello")...)
	e.expect(3, "log", run("--name", "cc", "bb", "sh", "-c", "echo log; exit 3")...)
	e.expect(0, "log", "logs", "cc")
	e.expect(0, "", "rm", "cc")
	e.expectTerminal("/dev/pts/0", run("--rm", "-it", "bb", "tty")...)
	e.expect(0, "uid=1000", run("--rm", "--pids-limit", "10", "--memory", "32m", "--user", "1000", "--init", "bb", "id")...)
	e.expect(0, "", run("-d", "--name", "aa", "--health-cmd", "true", "--health-interval", "1s", "bb", "sleep", "1000")...)
	e.expect(7, "exec", "exec", "aa", "sh", "-c", "echo exec; exit 7")
	e.expectTerminal("/dev/pts/0", "exec", "-t", "aa", "tty")
	e.expect(0, "", "pause", "aa")
	e.expect(0, "aused", "ps", "-a", "--format", "{{.Status}}")
	e.expect(0, "", "unpause", "aa")
}

// ends end the container aa in each way.
func (e *engine) ends(run func(...string) []string) {
	e.t.Helper()
	e.expect(0, "", "stop", "-t", "1", "aa")
	e.expect(0, "", "start", "aa")
	e.expect(0, "", "kill", "aa")
	e.expect(0, "", "rm", "-f", "aa")
	e.expect(137, "", run("--rm", "--memory", "16m", "--memory-swap", "16m", "bb", "sh", "-c", "x=x; while :; do x=$x$x; done")...)
}

func TestContainerd(t *testing.T) {
	e := newEngine(t, "containerd", "containerd", "ctr", "containerd-shim-runc-v2")
	socket := filepath.Join(e.dir, "c.sock")
	e.command = []string{"ctr", "--address", socket}
	config := filepath.Join(e.dir, "config.toml")
	text := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n", e.dir+"/root", e.dir+"/state", socket)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, log: filepath.Join(e.dir, "log"), args: []string{"containerd", "--config", config},
		ready: func() bool { _, code := e.try("version"); return code == 0 }}
	t.Cleanup(d.stop)
	d.start()
	root := e.root()
	run := func(more ...string) []string {
		return append([]string{"run", "--runtime", "io.containerd.runc.v2", "--runc-binary", harness.Bin(t, "berth-runtime"),
			"--cgroup", "/" + e.cgroup + "/c"}, more...)
	}
	e.expect(0, "hello", run("--rm", "--rootfs", root, "one", "echo", "hello")...)
	e.expectTerminal("/dev/pts/0", run("--rm", "--tty", "--rootfs", root, "one", "tty")...)
	e.expect(0, "", run("--detach", "--rootfs", root, "two", "sleep", "1000")...)
	e.expect(7, "inside", "task", "exec", "--exec-id", "x", "two", "sh", "-c", "echo inside; exit 7")
	e.expect(0, "", "task", "pause", "two")
	e.expect(0, "PAUSED", "task", "ls")
	e.expect(0, "", "task", "resume", "two")
	e.expect(0, "", "task", "metrics", "two")
	e.expect(0, "", "task", "kill", "--signal", "SIGKILL", "two")
	harness.Eventually(t, "a stopped task", func() bool { out, _ := e.try("task", "ls"); return strings.Contains(out, "STOPPED") })
	e.expect(0, "", "task", "rm", "two")
	e.expect(0, "", "container", "rm", "two")
}

// limited is whether a cgroup of the engine's has the memory limit.
func (e *engine) limited(bytes string) bool {
	for _, group := range harness.Cgroups(e.cgroup) {
		for _, file := range []string{"memory.limit_in_bytes", "memory.max"} {
			if text, err := os.ReadFile(filepath.Join(group, file)); err == nil && strings.TrimSpace(string(text)) == bytes {
				return true
			}
		}
	}
	return false
}

// daemon is an engine's server.
type daemon struct {
	t     *testing.T
	args  []string
	log   string
	ready func() bool
	cmd   *exec.Cmd
}

func (d *daemon) start() {
	d.t.Helper()
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(d.args[0], d.args[1:]...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	harness.Eventually(d.t, "a server that answers: "+d.args[0], d.ready)
}

func (d *daemon) stop() {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Signal(unix.SIGTERM)
	_ = d.cmd.Wait()
	d.cmd = nil
	if d.t.Failed() {
		text, _ := os.ReadFile(d.log)
		d.t.Logf("%s", text)
	}
}
