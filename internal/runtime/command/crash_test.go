package command_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A create that is killed leaves what delete --force takes away, whenever it is
// killed: here, ever later until it gets to its end.
func TestKilledCreate(t *testing.T) {
	adoptOrphans(t)
	b := newBundle(t, "sleep", "1000")
	b.edit(func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}}, Poststop: []specs.Hook{{Path: "/bin/true"}}}
	})
	statuses := map[string]int{}
	for step := 0; statuses["finished"] < 3 && step < 400; step++ {
		id := fmt.Sprintf("%s-%d", b.id, step)
		cmd := exec.Command(filepath.Join(b.dir, "berth-runtime"), "--root", b.state, "create", "--bundle", b.dir, id)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		status := "killed"
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("create: %v", err)
			}
			status = "finished"
		case <-time.After(time.Duration(step) * 150 * time.Microsecond):
			_ = cmd.Process.Kill()
			<-ended
		}
		out, code := b.run("state", id)
		if code != 0 && !strings.Contains(out, "does not exist") && !strings.Contains(out, "not created in full") {
			t.Errorf("state: %s", out)
		}
		statuses[status]++
		b.must("delete", "--force", id)
		reapAll(t)
		b.gone(id)
		if t.Failed() {
			t.Fatalf("killed after %d steps", step)
		}
	}
	if statuses["finished"] == 0 {
		t.Errorf("no create got to its end: %v", statuses)
	}
	if left, _ := os.ReadDir(b.state); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// reapAll waits for the children that are left to us: each has been killed.
func reapAll(t *testing.T) {
	t.Helper()
	for {
		_, err := unix.Wait4(-1, nil, 0, nil)
		if err == unix.ECHILD {
			return
		}
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
	}
}

// A killed start has started the container or ended it.
func TestKilledStart(t *testing.T) {
	adoptOrphans(t)
	b := newBundle(t, "sleep", "1000")
	for step := range 12 {
		id := fmt.Sprintf("%s-%d", b.id, step)
		b.must("create", id)
		cmd := exec.Command(filepath.Join(b.dir, "berth-runtime"), "--root", b.state, "start", id)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(step) * 200 * time.Microsecond) // any moment will do
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		out := b.must("state", id)
		if !strings.Contains(out, `"created"`) && !strings.Contains(out, `"running"`) && !strings.Contains(out, `"stopped"`) {
			t.Errorf("state: %s", out)
		}
		b.must("delete", "--force", id)
		reapAll(t)
		b.gone(id)
	}
}

func TestBadStates(t *testing.T) {
	b := newBundle(t, "true")
	for name, row := range map[string]struct{ text, want string }{
		"torn":     {`{"format":2,"id":"x","proc`, "delete --force takes the container away"},
		"empty":    {"", "delete --force takes the container away"},
		"older":    {`{"format":1,"id":"x"}`, "format 1 is of another release"},
		"foreign":  {`{"id":"x","init_process_pid":5}`, "format 0 is of another release"},
		"no state": {"-", "was not created in full"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(b.state, "x")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if row.text != "-" {
				if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(row.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, verb := range []string{"state", "start", "kill", "delete", "exec", "pause", "ps"} {
				if out, code := b.run(verb, "x"); code == 0 || !strings.Contains(out, row.want) {
					t.Errorf("%s: %q, code %d, want %q", verb, out, code, row.want)
				}
			}
			if out := b.must("list"); !strings.Contains(out, row.want) {
				t.Errorf("list: %q", out)
			}
			if out, code := b.run("create", "x"); code == 0 || !strings.Contains(out, "already exists") {
				t.Errorf("create: %q", out)
			}
			b.must("delete", "--force", "x")
			b.gone("x")
		})
	}
}

func TestBadInput(t *testing.T) {
	adoptOrphans(t)
	b := newBundle(t, "sleep", "1000")
	good, err := os.ReadFile(filepath.Join(b.dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	for name, row := range map[string]struct{ text, want string }{
		"no bundle":   {"", "is not a bundle"},
		"not JSON":    {"{", "config.json"},
		"wrong type":  {`{"ociVersion":"1.0.0","process":{"args":"sh"}}`, "process.args"},
		"no version":  {`{}`, "ociVersion is missing"},
		"version 2":   {`{"ociVersion":"2.0.0"}`, `ociVersion "2.0.0" is not supported`},
		"bad version": {`{"ociVersion":"one"}`, `ociVersion "one" is not a version`},
		"no process":  {`{"ociVersion":"1.0.0"}`, "process is missing"},
		"no args":     {`{"ociVersion":"1.0.0","process":{"cwd":"/"}}`, "process.args is empty"},
		"cwd":         {`{"ociVersion":"1.0.0","process":{"cwd":"x","args":["a"]}}`, `process.cwd "x" is not absolute`},
		"rlimit":      {`{"ociVersion":"1.0.0","process":{"cwd":"/","args":["a"],"rlimits":[{"type":"RLIMIT_CORE","soft":2,"hard":1}]}}`, "process.rlimits[0].soft 2 is above"},
		"root":        {`{"ociVersion":"1.0.0","root":{},"process":{"cwd":"/","args":["a"]}}`, "root.path is empty"},
	} {
		path := filepath.Join(other, "config.json")
		if row.text == "" {
			path = filepath.Join(other, "unused")
		}
		if err := os.WriteFile(path, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := b.run("create", "--bundle", other, b.id); code != 1 || !strings.Contains(out, row.want) {
			t.Errorf("%s: %q, code %d, want %q", name, out, code, row.want)
		}
		b.gone(b.id)
		_ = os.Remove(path)
	}
	b.must("create", b.id)
	pid := b.status().Pid
	b.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = "/" + b.id })
	if out, code := b.run("create", b.id+"-2"); code == 0 || !strings.Contains(out, fmt.Sprintf(`linux.cgroupsPath "/%s" is in use`, b.id)) {
		t.Errorf("a cgroup in use: %q", out)
	}
	if b.status().Status != specs.StateCreated {
		t.Error("the other create touched the container")
	}
	if err := os.WriteFile(filepath.Join(b.dir, "config.json"), good, 0o600); err != nil {
		t.Fatal(err)
	}
	b.must("kill", b.id, "9")
	reap(t, pid)
	for args, want := range map[string]string{
		"kill ID":                        "container not running",
		"start ID":                       "it is stopped",
		"exec ID true":                   "it is stopped",
		"pause ID":                       "it is stopped",
		"resume ID":                      "it is stopped",
		"kill ID NOSIGNAL":               `unknown signal "NOSIGNAL"`,
		"state ID more":                  `not ["` + b.id + `" "more"]`,
		"list -f yaml":                   `--format "yaml" is none of table, json`,
		"create --preserve-fds 1000 new": "--preserve-fds 1000: descriptor",
		"create --console-socket /nonexistent new": "--console-socket /nonexistent",
	} {
		if out, code := b.run(strings.Fields(strings.ReplaceAll(args, "ID", b.id))...); code == 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %q, code %d, want %q", args, out, code, want)
		}
	}
	b.must("delete", b.id)
	b.gone(b.id)
}
