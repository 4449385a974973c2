package command_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const nobody = 65534

// user is a bundle whose owner has no privileges.
type user struct{ *bundle }

func newUser(t *testing.T, args ...string) user {
	t.Helper()
	b := newBundle(t)
	if err := os.Remove(filepath.Join(b.dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(b.dir, "xdg"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(b.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(b.dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	}); err != nil {
		t.Fatal(err)
	}
	u := user{b}
	u.must("spec", "--rootless")
	b.edit(func(s *specs.Spec) {
		s.Process.Terminal, s.Process.Args, s.Root.Readonly = false, args, false
		s.Linux.Resources = nil
	})
	return u
}

// command is berth-runtime as the user, in a mount namespace of its own with sub
// as what the user has of subordinate IDs.
func (u user) command(sub string, args ...string) *exec.Cmd {
	script := `mount --bind "$1" /etc/subuid && mount --bind "$1" /etc/subgid && shift && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"`
	file := filepath.Join(u.dir, "subordinate")
	if err := os.WriteFile(file, []byte(sub), 0o644); err != nil {
		u.t.Fatal(err)
	}
	runtime := append([]string{filepath.Join(u.dir, "berth-runtime")}, args...)
	cmd := exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, "sh", file}, runtime...)...)
	if sub == "" {
		cmd = exec.Command(runtime[0], runtime[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	cmd.Dir, cmd.Env = u.dir, append(os.Environ(), "XDG_RUNTIME_DIR="+filepath.Join(u.dir, "xdg"))
	return cmd
}

func (u user) output(cmd *exec.Cmd) (string, int) {
	u.t.Helper()
	out, err := os.CreateTemp(u.dir, "out")
	if err != nil {
		u.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	text, readErr := os.ReadFile(out.Name())
	if _, ended := err.(*exec.ExitError); err != nil && !ended || readErr != nil {
		u.t.Fatal(err, readErr)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func (u user) run(args ...string) (string, int) { return u.output(u.command("", args...)) }

func (u user) must(args ...string) string {
	u.t.Helper()
	out, code := u.run(args...)
	if code != 0 {
		u.t.Fatalf("%v: code %d: %s", args, code, out)
	}
	return out
}

// nothing is left of any container.
func (u user) nothing() {
	u.t.Helper()
	if out := u.must("list", "-q"); out != "" {
		u.t.Errorf("left: %q", out)
	}
}

func TestRootless(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	u := newUser(t, "sh", "-c", "cat /proc/self/uid_map; exit 3")
	out, code := u.run("run", u.id)
	if f := strings.Join(strings.Fields(out), " "); code != 3 || !strings.HasSuffix(f, "0 65534 1") {
		t.Errorf("run: %q, code %d", out, code)
	}
	u.edit(func(s *specs.Spec) { s.Process.Args = []string{"sleep", "1000"} })
	u.must("create", u.id)
	u.must("start", u.id)
	out, code = u.run("exec", u.id, "sh", "-c", "grep Uid /proc/self/status; ls /proc/1/root/bin/sleep; exit 5")
	if code != 5 || !strings.Contains(out, "Uid:\t0\t0\t0\t0\n") || !strings.Contains(out, "/proc/1/root/bin/sleep") {
		t.Errorf("exec: %q, code %d", out, code)
	}
	var s specs.State
	if err := json.Unmarshal([]byte(u.must("state", u.id)), &s); err != nil || s.Status != specs.StateRunning {
		t.Errorf("%+v, %v", s, err)
	}
	u.must("kill", "--all", u.id, "KILL")
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(s.Pid, &status, 0, nil); err != nil || status.Signal() != syscall.SIGKILL {
		t.Errorf("%v, %v", status, err)
	}
	u.must("delete", u.id)
	u.nothing()
}

// unified says whether the host has cgroup v2 only.
func unified() bool {
	var fs unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
}

// What a user's cgroup was delegated with holds for the containers of the user.
func TestRootlessCgroup(t *testing.T) {
	if !unified() {
		t.Skip("needs a host with cgroup v2 only")
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	u := newUser(t, "sleep", "1000")
	parent := fmt.Sprintf("/berth-user-%d", os.Getpid())
	dir := filepath.Join("/sys/fs/cgroup", parent)
	session := filepath.Join(dir, "session")
	t.Cleanup(func() { _, _ = os.Remove(session), os.Remove(dir) })
	if err := os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+memory +pids"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, group := range []string{dir, session} {
		if err := os.Mkdir(group, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} {
			if err := os.Chown(filepath.Join(group, file), nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
	}
	group, err := os.Open(session)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	must := func(args ...string) string {
		t.Helper()
		cmd := u.command("", args...)
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
		out, code := u.output(cmd)
		if code != 0 {
			t.Fatalf("%v: code %d: %s", args, code, out)
		}
		return out
	}
	limit, pids := int64(64<<20), int64(33)
	u.edit(func(s *specs.Spec) {
		s.Linux.CgroupsPath = parent + "/box"
		s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}, Pids: &specs.LinuxPids{Limit: &pids}}
	})
	must("create", u.id)
	must("start", u.id)
	box := filepath.Join(dir, "box")
	for file, want := range map[string]string{"memory.max": "67108864\n", "pids.max": "33\n"} {
		if got, err := os.ReadFile(filepath.Join(box, file)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %q", file, got, err, want)
		}
	}
	must("pause", u.id)
	must("resume", u.id)
	must("update", "--pids-limit", "44", u.id)
	// The cgroup namespace begins at the container's group.
	if out := must("exec", u.id, "cat", "/proc/self/cgroup"); out != "0::/\n" {
		t.Errorf("exec's process is in %q", out)
	}
	var s specs.State
	if err := json.Unmarshal([]byte(must("state", u.id)), &s); err != nil {
		t.Fatal(err)
	}
	must("kill", "--all", u.id, "KILL")
	if _, err := syscall.Wait4(s.Pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
	must("delete", u.id)
	u.nothing()
	if _, err := os.Stat(box); !os.IsNotExist(err) {
		t.Errorf("the container's cgroup is left: %v", err)
	}
}

// Each refusal names the field and what to do, and leaves nothing.
func TestRootlessRefusals(t *testing.T) {
	limit, many := int64(1<<30), []specs.LinuxIDMapping{{ContainerID: 0, HostID: nobody, Size: 1}, {ContainerID: 1, HostID: 200000, Size: 1000}}
	u := newUser(t, "true")
	for _, tc := range []struct {
		name, sub, path, want string
		change                func(*specs.Spec)
	}{
		{name: "limit without a cgroup", want: "linux.resources.memory needs a cgroup", change: func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
		}},
		{name: "another's ID", sub: "nobody:300000:5\n", want: `linux.uidMappings 0:0:1 cannot be set: newuidmap says`, change: func(s *specs.Spec) {
			s.Linux.UIDMappings[0].HostID = 0
		}},
		{name: "no newuidmap", path: "/nowhere", want: "linux.uidMappings 0:65534:1 1:200000:1000 needs newuidmap, which is not in PATH: install the package uidmap", change: func(s *specs.Spec) {
			s.Linux.UIDMappings, s.Linux.GIDMappings = many, many
		}},
		{name: "no subordinate IDs", sub: "nobody:300000:5\n", want: "see what the user has in /etc/subuid", change: func(s *specs.Spec) {
			s.Linux.UIDMappings, s.Linux.GIDMappings = many, many
		}},
		{name: "groups that cannot be set", want: "setgroups is denied", change: func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{0} }},
		{name: "no user namespace", want: "without privileges a container needs a user namespace", change: func(s *specs.Spec) {
			s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
			s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(u.dir, "config.json"))
			if err != nil {
				t.Fatal(err)
			}
			u.edit(tc.change)
			cmd := u.command(tc.sub, "run", u.id)
			if tc.path != "" {
				cmd.Env = append(cmd.Env, "PATH="+tc.path)
			}
			if out, code := u.output(cmd); code == 0 || !strings.Contains(out, tc.want) {
				t.Errorf("code %d, %q", code, out)
			}
			u.nothing()
			if err := os.WriteFile(filepath.Join(u.dir, "config.json"), text, 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestRootlessWithSubordinateIDs(t *testing.T) {
	if _, err := exec.LookPath("newuidmap"); err != nil {
		t.Fatal("install uidmap: ", err)
	}
	u := newUser(t, "sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; grep Groups /proc/self/status")
	u.edit(func(s *specs.Spec) {
		list := []specs.LinuxIDMapping{{ContainerID: 0, HostID: nobody, Size: 1}, {ContainerID: 1, HostID: 200000, Size: 1000}}
		s.Linux.UIDMappings, s.Linux.GIDMappings = list, list
		s.Process.User = specs.User{UID: 33, GID: 34, AdditionalGids: []uint32{40}}
	})
	out, code := u.output(u.command("nobody:200000:1000\n", "run", u.id))
	want := "0 65534 1 1 200000 1000 0 65534 1 1 200000 1000 allow Groups: 40"
	if f := strings.Join(strings.Fields(out), " "); code != 0 || !strings.HasSuffix(f, want) {
		t.Errorf("%q, code %d", out, code)
	}
	u.nothing()
}
