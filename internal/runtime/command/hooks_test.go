package command_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// record is a hook that appends what it sees to a file: its name, the status and
// the pid it is told, its mount and pid namespaces.
func record(name, file string) specs.Hook {
	script := fmt.Sprintf(`state=$(cat); status=${state#*\"status\":\"}; pid=${state#*\"pid\":}; case $state in *\"pid\":*) pid=${pid%%%%[,\}]*};; *) pid=0;; esac
echo "%s ${status%%%%\"*} $pid $(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/pid) $HOOK" >> %s`, name, file)
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/bin:/usr/bin", "HOOK=" + name}}
}

func adoptOrphans(t *testing.T) {
	t.Helper()
	// What a create leaves to us must not go to the machine's first process.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
}

func reap(t *testing.T, pid int) {
	t.Helper()
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		t.Errorf("wait for process %d: %v", pid, err)
	}
}

func TestHooks(t *testing.T) {
	adoptOrphans(t)
	b := newBundle(t, "sleep", "1000")
	out, inside := filepath.Join(b.dir, "out"), filepath.Join(b.dir, "rootfs/shared")
	if err := os.MkdirAll(inside, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("busybox", filepath.Join(b.dir, "rootfs/bin/readlink")); err != nil {
		t.Fatal(err)
	}
	b.edit(func(s *specs.Spec) {
		s.Root.Readonly = false
		mark := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "mount -t tmpfs made " + b.dir + "/rootfs/mnt"}, Env: []string{"PATH=/bin:/usr/bin"}}
		s.Hooks = &specs.Hooks{
			//lint:ignore SA1019 it is in use
			Prestart: []specs.Hook{record("prestart", out)}, CreateRuntime: []specs.Hook{record("createRuntime", out)},
			CreateContainer: []specs.Hook{record("createContainer", out), mark}, StartContainer: []specs.Hook{record("startContainer", "/shared/out")},
			Poststart: []specs.Hook{record("poststart", out)}, Poststop: []specs.Hook{record("poststop", out)},
		}
	})
	if err := os.MkdirAll(filepath.Join(b.dir, "rootfs/mnt"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.must("create", b.id)
	pid := b.status().Pid
	host, own := ns(t, "self"), ns(t, fmt.Sprint(pid))
	want := []string{
		fmt.Sprintf("prestart creating %d %s prestart", pid, host),
		fmt.Sprintf("createRuntime creating %d %s createRuntime", pid, host),
		fmt.Sprintf("createContainer creating 1 %s createContainer", own),
	}
	compare(t, out, want)
	compare(t, filepath.Join(inside, "out"), nil)
	b.must("start", b.id)
	compare(t, filepath.Join(inside, "out"), []string{fmt.Sprintf("startContainer created 1 %s startContainer", own)})
	want = append(want, fmt.Sprintf("poststart running %d %s poststart", pid, host))
	compare(t, out, want)
	if out, code := b.run("exec", b.id, "sh", "-c", "while read -r a b c; do if [ $b = /mnt ]; then echo $a; fi; done < /proc/mounts"); out != "made\n" || code != 0 {
		t.Errorf("the mount of a createContainer hook: %q, code %d", out, code)
	}
	b.must("delete", "--force", b.id)
	reap(t, pid)
	compare(t, out, append(want, fmt.Sprintf("poststop stopped 0 %s poststop", host)))
}

// ns are the mount and pid namespaces of a process.
func ns(t *testing.T, pid string) string {
	t.Helper()
	mnt, err := os.Readlink("/proc/" + pid + "/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.Readlink("/proc/" + pid + "/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	return mnt + " " + own
}

func compare(t *testing.T, file string, want []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && len(want) > 0 {
		t.Fatal(err)
	}
	if got := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' }); !slices.Equal(got, want) {
		t.Errorf("hooks:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A failed hook of any kind is an error that stops the container and takes it
// away, but poststop, which is a warning.
func TestHookErrors(t *testing.T) {
	adoptOrphans(t)
	b := newBundle(t, "sleep", "1000")
	marker := filepath.Join(b.dir, "poststop")
	bad := []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo why; exit 9"}}}
	for kind, set := range map[string]func(*specs.Hooks){
		//lint:ignore SA1019 it is in use
		"prestart":        func(h *specs.Hooks) { h.Prestart = bad },
		"createRuntime":   func(h *specs.Hooks) { h.CreateRuntime = bad },
		"createContainer": func(h *specs.Hooks) { h.CreateContainer = bad },
		"startContainer":  func(h *specs.Hooks) { h.StartContainer = bad },
		"poststart":       func(h *specs.Hooks) { h.Poststart = bad },
	} {
		t.Run(kind, func(t *testing.T) {
			b.edit(func(s *specs.Spec) {
				s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo > " + marker + "; exit 1"}}}}
				set(s.Hooks)
			})
			id := b.id + kind
			out, code := b.run("create", id)
			if kind == "startContainer" || kind == "poststart" {
				if code != 0 {
					t.Fatalf("create: %s", out)
				}
				pid := b.pid(id)
				out, code = b.run("start", id)
				reap(t, pid)
				if status := b.must("state", id); !strings.Contains(status, `"stopped"`) {
					t.Errorf("state: %s", status)
				}
				if out := b.must("delete", id); !strings.Contains(out, "warning: hooks.poststop[0]") {
					t.Errorf("delete: %q", out)
				}
			}
			if want := "hooks." + kind + "[0] /bin/sh: exit status 9: why"; code != 1 || !strings.Contains(out, want) {
				t.Errorf("got %q, code %d, want %q", out, code, want)
			}
			if err := os.Remove(marker); err != nil {
				t.Errorf("poststop did not run: %v", err)
			}
			b.gone(id)
		})
	}
}

func (b *bundle) pid(id string) int {
	b.t.Helper()
	var s specs.State
	if err := json.Unmarshal([]byte(b.must("state", id)), &s); err != nil {
		b.t.Fatal(err)
	}
	return s.Pid
}

// gone fails if there is a state or a cgroup of the container.
func (b *bundle) gone(id string) {
	b.t.Helper()
	if _, err := os.Lstat(filepath.Join(b.state, id)); err == nil {
		b.t.Errorf("the state of %s is left", id)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/" + id, "/sys/fs/cgroup/*/" + id} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			b.t.Errorf("left: %v", left)
		}
	}
}
