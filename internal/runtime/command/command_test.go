package command_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// bundle is a built berth-runtime with a bundle and a root of its own.
type bundle struct {
	t          *testing.T
	dir, state string
	id         string
}

func newBundle(t *testing.T, args ...string) *bundle {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"berth-runtime", "berth-init"} {
		if bin := os.Getenv("BERTH_BIN"); bin != "" {
			if out, err := exec.Command("cp", filepath.Join(bin, name), dir).CombinedOutput(); err != nil {
				t.Fatalf("copy %s: %v: %s", name, err, out)
			}
			continue
		}
		build := exec.Command("go", "build", "-o", dir, "../../../cmd/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v: %s", name, err, out)
		}
	}
	b := &bundle{t: t, dir: dir, state: filepath.Join(dir, strings.Repeat("state-", 20)), id: fmt.Sprintf("berth-cli-%d", os.Getpid())}
	bin := filepath.Join(dir, "rootfs/bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "busybox"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "sleep", "true", "cat", "grep", "ls", "stty"} {
		if err := os.Symlink("busybox", filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	b.must("spec")
	b.edit(func(s *specs.Spec) { s.Process.Terminal, s.Process.Args = false, args })
	return b
}

func (b *bundle) edit(change func(*specs.Spec)) {
	b.t.Helper()
	path := filepath.Join(b.dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	var s specs.Spec
	if err := json.Unmarshal(text, &s); err != nil {
		b.t.Fatal(err)
	}
	change(&s)
	if text, err = json.Marshal(s); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// run returns what berth-runtime wrote and its exit code. Its output is a file:
// a container that goes on must not keep us waiting.
func (b *bundle) run(args ...string) (string, int) {
	b.t.Helper()
	out, err := os.CreateTemp(b.dir, "out")
	if err != nil {
		b.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(filepath.Join(b.dir, "berth-runtime"), append([]string{"--root", b.state}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.dir, out, out
	err = cmd.Run()
	text, readErr := os.ReadFile(out.Name())
	if _, ended := err.(*exec.ExitError); err != nil && !ended || readErr != nil {
		b.t.Fatal(err, readErr)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func (b *bundle) must(args ...string) string {
	b.t.Helper()
	out, code := b.run(args...)
	if code != 0 {
		b.t.Fatalf("%v: code %d: %s", args, code, out)
	}
	return out
}

func (b *bundle) status() specs.State {
	b.t.Helper()
	var s specs.State
	if err := json.Unmarshal([]byte(b.must("state", b.id)), &s); err != nil {
		b.t.Fatal(err)
	}
	return s
}

func TestRun(t *testing.T) {
	b := newBundle(t, "sh", "-c", "echo out; exit 3")
	if out, code := b.run("run", b.id); out != "out\n" || code != 3 {
		t.Errorf("%q, code %d", out, code)
	}
	b.edit(func(s *specs.Spec) { s.Process.Args = []string{"nope"} })
	if out, code := b.run("run", b.id); code == 0 || !strings.Contains(out, `exec: "nope": executable file not found in $PATH`) {
		t.Errorf("%q, code %d", out, code)
	}
	if out := b.must("list", "-q"); out != "" {
		t.Errorf("left: %q", out)
	}
}

// A create that fails when its process was there already leaves no pid file.
func TestPidFileOfNobody(t *testing.T) {
	b := newBundle(t, "true")
	b.edit(func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: "/nosuch", Options: []string{"bind"}})
	})
	dir := t.TempDir()
	if out, code := b.run("create", "--bundle", b.dir, "--pid-file", filepath.Join(dir, "pid"), b.id); code == 0 || !strings.Contains(out, "/nosuch") {
		t.Errorf("%q, code %d", out, code)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

func TestLifecycle(t *testing.T) {
	// What a create leaves to us must not go to the machine's first process.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	b := newBundle(t, "sleep", "1000")
	pidFile := filepath.Join(b.dir, "pid")
	b.must("create", "--bundle", b.dir, "--pid-file", pidFile, b.id)
	s := b.status()
	if text, err := os.ReadFile(pidFile); err != nil || string(text) != fmt.Sprint(s.Pid) || s.Status != specs.StateCreated {
		t.Errorf("%+v, pid file %q, %v", s, text, err)
	}
	if out, code := b.run("create", b.id); code == 0 || !strings.Contains(out, "already exists") {
		t.Errorf("second create: %q", out)
	}
	b.must("start", b.id)
	if s := b.status(); s.Status != specs.StateRunning {
		t.Errorf("%+v", s)
	}
	if out, code := b.run("start", b.id); code == 0 || !strings.Contains(out, "it is running") {
		t.Errorf("second start: %q", out)
	}
	if out, code := b.run("exec", "--env", "X=hello", b.id, "sh", "-c", "echo $X; exit 5"); out != "hello\n" || code != 5 {
		t.Errorf("exec: %q, code %d", out, code)
	}
	var pids []int
	if err := json.Unmarshal([]byte(b.must("ps", "--format", "json", b.id)), &pids); err != nil || len(pids) != 1 || pids[0] != s.Pid {
		t.Errorf("ps: %v, %v", pids, err)
	}
	b.must("pause", b.id)
	if s := b.status(); s.Status != "paused" {
		t.Errorf("%+v", s)
	}
	b.must("resume", b.id)
	if out, code := b.run("delete", b.id); code == 0 || !strings.Contains(out, "not stopped") {
		t.Errorf("delete: %q", out)
	}
	b.must("kill", b.id, "KILL")
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(s.Pid, &status, 0, nil); err != nil || status.Signal() != syscall.SIGKILL {
		t.Errorf("%v, %v", status, err)
	}
	if s := b.status(); s.Status != specs.StateStopped || s.Pid != 0 {
		t.Errorf("%+v", s)
	}
	b.must("delete", b.id)
	if out, code := b.run("state", b.id); code == 0 || !strings.Contains(out, "does not exist") {
		t.Errorf("state: %q", out)
	}
	b.must("delete", "--force", b.id)
}

func TestErrorsGoToTheLog(t *testing.T) {
	b := newBundle(t, "true")
	log := filepath.Join(b.dir, "log.json")
	b.edit(func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "bin/true"}}} })
	for args, want := range map[string]string{"run x": `hooks.poststop[0].path "bin/true" is not absolute`, "state ../x": "invalid container ID", "bogus": "unknown command"} {
		out, code := b.run(append([]string{"--log", log, "--log-format", "json"}, strings.Fields(args)...)...)
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: %q, code %d", args, out, code)
		}
	}
	text, err := os.ReadFile(log)
	if err != nil || bytes.Count(text, []byte(`"level":"error"`)) != 3 {
		t.Errorf("%s, %v", text, err)
	}
}
