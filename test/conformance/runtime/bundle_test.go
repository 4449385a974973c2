package conformance

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/test/harness"
)

// runner gives commands to the runtime under test.
type runner struct {
	t      *testing.T
	dir    string // the bundle; its parent is the test's, for other files
	state  string // --root
	id     string // of the container that the short methods speak of
	global []string
	files  int // outputs so far
}

// bundle is one test's bundle and the containers it makes from it.
type bundle struct {
	runner
	rootfs string
	cgroup string // name below each hierarchy's root
	spec   *specs.Spec
	ids    []string // containers to take away at the end
	undone []func() // what the test made on the host, taken back before leftovers are looked for
}

// undo is done once the containers are gone, the last first.
func (b *bundle) undo(f func()) { b.undone = append(b.undone, f) }

// newBundle makes a root file system of busybox and the probe, and the
// specification that an engine would write, with args as the program: the probe
// if there is none. What the test leaves running is deleted at its end.
func newBundle(t *testing.T, args ...string) *bundle {
	t.Helper()
	if len(args) == 0 {
		args = []string{"/probe"}
	}
	dir, err := os.MkdirTemp("", "berth-conf-")
	if err != nil {
		t.Fatal(err)
	}
	var name [6]byte
	_, _ = rand.Read(name[:])
	id := "conf-" + hex.EncodeToString(name[:])
	b := &bundle{runner: runner{t: t, dir: filepath.Join(dir, "bundle"), state: filepath.Join(dir, "state"), id: id},
		rootfs: filepath.Join(dir, "bundle/rootfs"), cgroup: "/" + id, spec: defaultSpec(args, "/"+id)}
	end := harness.Watch(t, b.left)
	t.Cleanup(func() {
		b.deleteAll()
		for _, f := range slices.Backward(b.undone) {
			f()
		}
		end(patience())
		for _, group := range slices.Backward(harness.Cgroups(b.cgroup)) {
			_ = os.Remove(group)
		}
		_ = os.RemoveAll(dir)
	})
	b.must(os.Chmod(dir, 0o755))
	fillRoot(t, b.rootfs)
	return b
}

// fillRoot makes a root file system.
func fillRoot(t *testing.T, root string) {
	t.Helper()
	for _, dir := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "run", "var", "root"} {
		must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	must(t, os.Chmod(filepath.Join(root, "tmp"), 0o1777))
	must(t, os.Link(filepath.Join(templates, "busybox"), filepath.Join(root, "bin/busybox")))
	must(t, os.Link(filepath.Join(templates, "probe"), filepath.Join(root, "probe")))
	for _, name := range []string{"sh", "cat", "echo", "true", "false", "sleep", "id", "ls", "stat", "mkdir", "touch", "mount", "umount", "kill", "head", "wc", "grep", "dd", "hostname", "ulimit", "readlink", "chown", "test", "rm", "stty", "tty", "env", "pwd", "trap"} {
		must(t, os.Symlink("busybox", filepath.Join(root, "bin", name)))
	}
	must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte("root:x:0:\nuser:x:1000:\n"), 0o644))
}

// patience is how long leftovers may take to go. Peers are known to leave some.
func patience() time.Duration {
	if foreign() {
		return time.Second
	}
	return harness.Patience
}

// left lists what the containers left, besides what harness.Watch sees.
func (b *bundle) left() []string {
	var left []string
	for _, dir := range harness.Cgroups(b.cgroup) {
		left = append(left, "cgroup "+dir)
	}
	entries, _ := os.ReadDir(b.state)
	for _, e := range entries {
		left = append(left, "state "+filepath.Join(b.state, e.Name()))
	}
	return left
}

func (b *bundle) deleteAll() {
	for _, id := range b.ids {
		if _, err := os.Stat(filepath.Join(b.state, id)); err == nil {
			b.cmd("delete", "--force", id)
		}
	}
}

// save writes config.json.
func (b *bundle) save() {
	b.t.Helper()
	j, err := json.MarshalIndent(b.spec, "", " ")
	b.must(err)
	b.must(os.WriteFile(filepath.Join(b.dir, "config.json"), j, 0o644))
}

// write makes a file in the root file system.
func (b *bundle) write(path, content string) {
	b.t.Helper()
	full := filepath.Join(b.rootfs, path)
	b.must(os.MkdirAll(filepath.Dir(full), 0o755))
	b.must(os.WriteFile(full, []byte(content), 0o644))
}

// temp makes a directory of the test's own outside of the bundle.
func (b *runner) temp(name string) string {
	b.t.Helper()
	dir := filepath.Join(filepath.Dir(b.dir), name)
	b.must(os.MkdirAll(dir, 0o755))
	return dir
}

func (b *bundle) mount(m specs.Mount) { b.spec.Mounts = append(b.spec.Mounts, m) }

// without takes a namespace out of the specification.
func (b *bundle) without(kinds ...specs.LinuxNamespaceType) {
	b.spec.Linux.Namespaces = slices.DeleteFunc(b.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return slices.Contains(kinds, n.Type) })
}

// namespace adds a namespace, or gives the one that is there a path.
func (b *bundle) namespace(kind specs.LinuxNamespaceType, path string) {
	b.without(kind)
	b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
}

// capable gives root in the container more capabilities.
func (b *bundle) capable(names ...string) {
	c := b.spec.Process.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Permitted, &c.Effective} {
		*set = append(*set, names...)
	}
}

func (b *runner) must(err error) {
	b.t.Helper()
	must(b.t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }

var defaultCaps = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}

func defaultSpec(args []string, cgroup string) *specs.Spec {
	return &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{
			Args: args, Cwd: "/", Env: []string{"PATH=/bin:/"},
			Capabilities: &specs.LinuxCapabilities{Bounding: slices.Clone(defaultCaps), Permitted: slices.Clone(defaultCaps), Effective: slices.Clone(defaultCaps)},
		},
		Hostname: "box",
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: cgroup,
			Resources:   &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}},
			Namespaces:  []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace}},
			MaskedPaths: []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"}, ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}
