package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// owned makes a file that belongs to somebody.
func owned(b *bundle, uid, gid int) (dir string) {
	dir = b.temp("owned")
	file := filepath.Join(dir, "f")
	b.must(os.WriteFile(file, nil, 0o644))
	b.must(os.Chown(file, uid, gid))
	return dir
}

func TestIDMappedMounts(t *testing.T) {
	b := newBundle(t, "sh", "-c", "stat -c '%u:%g' /plain/f /one/f /all/f")
	dir := owned(b, 5, 6)
	uids, gids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 10}}, []specs.LinuxIDMapping{{ContainerID: 6, HostID: 0, Size: 1}}
	for at, option := range map[string]string{"/one": "idmap", "/all": "ridmap"} {
		b.mount(specs.Mount{Destination: at, Type: "bind", Source: dir, Options: []string{"rbind", option}, UIDMappings: uids, GIDMappings: gids})
	}
	b.mount(specs.Mount{Destination: "/plain", Type: "bind", Source: dir, Options: []string{"rbind"}})
	if got, want := b.says(), "5:6\n1005:0\n1005:0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, tc := range []struct {
		mount specs.Mount
		text  string
	}{
		{specs.Mount{Destination: "/x", Type: "tmpfs", Source: "tmpfs", UIDMappings: uids, GIDMappings: gids}, "ID-mapped mounts are binds only"},
		{specs.Mount{Destination: "/x", Type: "bind", Source: dir, Options: []string{"bind"}, UIDMappings: uids}, "uidMappings and gidMappings"},
		{specs.Mount{Destination: "/x", Type: "bind", Source: dir, Options: []string{"bind", "idmap"}}, "mappings of its own"},
	} {
		b := newBundle(t)
		b.mount(tc.mount)
		b.fails(tc.text)
	}
}

// Without mappings of its own a mount has those of the container.
func TestIDMappedMountOfTheContainer(t *testing.T) {
	b := newBundle(t, "sh", "-c", "stat -c '%u:%g' /plain/f /mapped/f; touch /mapped/new; cat /proc/self/uid_map")
	dir := owned(b, 5, 6)
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}}
	b.namespace(specs.UserNamespace, "")
	b.spec.Linux.UIDMappings, b.spec.Linux.GIDMappings = ids, ids
	b.mount(specs.Mount{Destination: "/plain", Type: "bind", Source: dir, Options: []string{"rbind"}})
	b.mount(specs.Mount{Destination: "/mapped", Type: "bind", Source: dir, Options: []string{"rbind", "idmap"}})
	b.must(os.Mkdir(filepath.Join(b.rootfs, "plain"), 0o755))
	b.must(os.Mkdir(filepath.Join(b.rootfs, "mapped"), 0o755))
	b.must(filepath.WalkDir(b.rootfs, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() { // the files are links to those of other tests
			return err
		}
		return os.Lchown(path, 100000, 100000)
	}))
	if got := b.says(); len(got) < 15 || got[:16] != "65534:65534\n5:6\n" {
		t.Errorf("got %q", got)
	}
	var st unix.Stat_t
	b.must(unix.Stat(filepath.Join(dir, "new"), &st))
	if st.Uid != 0 || st.Gid != 0 {
		t.Errorf("what was made belongs to %d:%d on disk, want 0:0", st.Uid, st.Gid)
	}
}

func TestNothingOverProc(t *testing.T) {
	for destination, text := range map[string]string{
		"/proc": "not of type proc", "/proc/sys": "inside /proc", "/tmp/../proc/self/attr": "inside /proc", "/alias/sysrq-trigger": "",
	} {
		b := newBundle(t)
		b.must(os.Symlink("/proc", filepath.Join(b.rootfs, "alias")))
		source := b.temp("source")
		if filepath.Base(destination) == "sysrq-trigger" {
			source = filepath.Join(source, "file")
			b.must(os.WriteFile(source, nil, 0o644))
		}
		b.mount(specs.Mount{Destination: destination, Type: "bind", Source: source, Options: []string{"bind"}})
		b.fails(text)
	}
	for _, kind := range []string{"proc", "sys"} {
		b := newBundle(t)
		b.must(os.Remove(filepath.Join(b.rootfs, kind)))
		b.must(os.Symlink("tmp", filepath.Join(b.rootfs, kind)))
		b.fails("ordinary directory")
	}
	b := newBundle(t, "cat", "/proc/uptime")
	b.write("../uptime", "of lxcfs")
	b.mount(specs.Mount{Destination: "/proc/uptime", Type: "bind", Source: filepath.Join(b.dir, "uptime"), Options: []string{"bind"}})
	if got := b.says(); got != "of lxcfs" {
		t.Errorf("/proc/uptime is %q", got)
	}
}

func TestNoPivot(t *testing.T) {
	b := newBundle(t)
	r := b.looks("--no-pivot")
	if r.Pid != 1 {
		t.Errorf("the program is process %d, want 1", r.Pid)
	}
	for _, m := range r.Mounts {
		if m.Type == "proc" && m.Point != "/proc" && m.Root == "/" {
			t.Errorf("another proc is seen on %s", m.Point)
		}
	}
	b = newBundle(t, "ls", "/proc/1/root/../../")
	if got := b.says("--no-pivot"); got != "bin\ndev\netc\nprobe\nproc\nroot\nrun\nsys\ntmp\nvar" {
		t.Errorf("the root is %q", got)
	}
}

func TestMountsThatCannotBe(t *testing.T) {
	for text, m := range map[string]specs.Mount{
		"no filesystem \"nofs\"":    {Destination: "/x", Type: "nofs", Source: "none"},
		"Unknown parameter 'bogus'": {Destination: "/x", Type: "tmpfs", Source: "tmpfs", Options: []string{"bogus=1"}},
		"destination can't be '/'":  {Destination: "/", Type: "tmpfs", Source: "tmpfs"},
		"directory onto a file":     {Destination: "/etc/passwd", Type: "bind", Source: "/tmp", Options: []string{"bind"}},
	} {
		b := newBundle(t)
		b.mount(m)
		b.fails(text)
	}
}

// mappable mounts a file system that can have ID maps: tmpfs, or before Linux 6.3 what
// the tests' directories are on.
func mappable(b *bundle, name, on string) string {
	b.t.Helper()
	dir, source, kind, flags, data := b.temp(on), "tmpfs", "tmpfs", uintptr(0), "mode=755"
	var major, minor int
	if n, _ := fmt.Sscanf(read("/proc/sys/kernel/osrelease"), "%d.%d", &major, &minor); n == 2 && (major < 6 || major == 6 && minor < 3) {
		source, kind, flags, data = b.temp(name), "", unix.MS_BIND, ""
	}
	b.must(unix.Mount(source, dir, kind, flags, data))
	b.undo(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// A mount with a mapping of its own shows the files of the host's user 3 as 100003's.
func TestIDMappedMount(t *testing.T) {
	mapping := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}}
	for _, option := range []string{"idmap", "ridmap"} {
		b := newBundle(t)
		source := mappable(b, "mapped", "mapped")
		for _, file := range []string{"file", "sub/file"} {
			b.must(os.MkdirAll(filepath.Dir(filepath.Join(source, file)), 0o755))
			if file == "sub/file" {
				mappable(b, "below", "mapped/sub")
			}
			b.must(os.WriteFile(filepath.Join(source, file), nil, 0o644))
			b.must(os.Chown(filepath.Join(source, file), 3, 4))
		}
		b.mount(specs.Mount{Destination: "/x", Source: source, Options: []string{"rbind", option}, UIDMappings: mapping, GIDMappings: mapping})
		below := "file 0644 3:4 0:0"
		if option == "ridmap" {
			below = "file 0644 100003:100004 0:0"
		}
		b.expect([][2]string{{"stat,/x/file", "file 0644 100003:100004 0:0"}, {"stat,/x/sub/file", below}})
	}
	b := newBundle(t)
	b.mount(specs.Mount{Destination: "/x", Source: b.temp("plain"), Options: []string{"bind", "idmap"}})
	b.fails("idmap|mapping")
	b = newBundle(t)
	b.mount(specs.Mount{Destination: "/x", Source: b.temp("plain"), Options: []string{"bind", "idmap"}, UIDMappings: mapping})
	b.fails("gidMappings|mapping")
}
