package runtime_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/cgroup"
)

// hostTree mounts a tmpfs with another one on it and returns its path. Both go
// away with the test.
func hostTree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	for _, d := range []string{dir, filepath.Join(dir, "sub")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tree", d, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(d, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
	return dir
}

func attributesOf(t *testing.T, at string, options ...string) string {
	t.Helper()
	s := spec("sh", "-c", `while read -r a b c d at options rest; do case $at in /m) echo "$options";; /m/sub) echo "$options";; esac; done </proc/self/mountinfo`)
	s.Mounts = append(s.Mounts, specs.Mount{Source: at, Destination: "/m", Options: options})
	return must(t, s, rootfs(t))
}

// Each option of a mount, as the kernel shows the mount and the one below it.
func TestMountAttributes(t *testing.T) {
	tree := hostTree(t)
	for _, tc := range []struct{ options, want string }{
		{"rbind", "rw,relatime\nrw,relatime"},
		{"bind", "rw,relatime"},
		{"rbind ro", "ro,relatime\nrw,relatime"},
		{"rbind rro", "ro,relatime\nro,relatime"},
		{"rbind ro rro", "ro,relatime\nro,relatime"},
		{"rbind rro rrw", "rw,relatime\nrw,relatime"},
		{"rbind rro rw", "ro,relatime\nro,relatime"},
		{"rbind nosuid nodev noexec", "rw,nosuid,nodev,noexec,relatime\nrw,relatime"},
		{"rbind nosuid suid nodev dev noexec exec ro rw", "rw,relatime\nrw,relatime"},
		{"rbind rnosuid rnodev rnoexec", "rw,nosuid,nodev,noexec,relatime\nrw,nosuid,nodev,noexec,relatime"},
		{"rbind rnosuid rnodev rnoexec rsuid rdev rexec", "rw,relatime\nrw,relatime"},
		{"rbind noatime", "rw,noatime\nrw,relatime"},
		{"rbind rnoatime", "rw,noatime\nrw,noatime"},
		{"rbind rnoatime ratime", "rw,relatime\nrw,relatime"},
		{"rbind rnoatime rrelatime", "rw,relatime\nrw,relatime"},
		{"rbind rstrictatime", "rw\nrw"},
		{"rbind strictatime nostrictatime", "rw,relatime\nrw,relatime"},
		{"rbind rstrictatime rnorelatime", "rw,relatime\nrw,relatime"},
		{"rbind nodiratime", "rw,nodiratime,relatime\nrw,relatime"},
		{"rbind rnodiratime", "rw,nodiratime,relatime\nrw,nodiratime,relatime"},
		{"rbind rnodiratime rdiratime", "rw,relatime\nrw,relatime"},
		{"rbind nosymfollow", "rw,relatime,nosymfollow\nrw,relatime"},
		{"rbind rnosymfollow", "rw,relatime,nosymfollow\nrw,relatime,nosymfollow"},
		{"rbind rnosymfollow rsymfollow", "rw,relatime\nrw,relatime"},
		{"rbind sync lazytime silent defaults", "rw,relatime\nrw,relatime"},
	} {
		if got := attributesOf(t, tree, strings.Fields(tc.options)...); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.options, got, tc.want)
		}
	}
}

// What the host's mount has is not lost when a bind of it gets more.
func TestBindKeepsFlags(t *testing.T) {
	tree := hostTree(t)
	if err := unix.Mount("", tree, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		t.Fatal(err)
	}
	if got := attributesOf(t, tree, "bind", "ro"); got != "ro,nosuid,nodev,relatime" {
		t.Error(got)
	}
	if got := attributesOf(t, tree, "bind", "suid", "dev"); got != "rw,relatime" {
		t.Error(got)
	}
}

func TestPropagation(t *testing.T) {
	tree := hostTree(t)
	if err := unix.Mount("", tree, "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ root, option, want string }{
		{"", "private", ""}, {"", "rprivate", ""}, {"", "slave", "master"}, {"", "rslave", "master"}, {"", "unbindable", "unbindable"},
		{"", "runbindable", "unbindable"}, {"shared", "shared", "shared"}, {"rshared", "rshared", "shared"}, {"shared", "slave", "master"}, {"rslave", "rshared", "shared+master"},
		{"unbindable", "private", ""}, {"runbindable", "private", "unbindable"}, {"private", "private", ""},
	} {
		s := spec("sh", "-c", `while read -r a b c d at o rest; do case $at in /m) echo "${rest%% - *}";; esac; done </proc/self/mountinfo`)
		s.Linux.RootfsPropagation = tc.root
		s.Mounts = append(s.Mounts, specs.Mount{Source: tree, Destination: "/m", Options: []string{"rbind", tc.option}})
		var tags []string
		for tag := range strings.FieldsSeq(must(t, s, rootfs(t))) {
			name, _, _ := strings.Cut(tag, ":")
			if name != "-" && name != "tmpfs" && name != "tree" && !strings.HasPrefix(name, "rw") {
				tags = append(tags, name)
			}
		}
		if got := strings.Join(tags, "+"); got != tc.want {
			t.Errorf("%s below %q: got %q, want %q", tc.option, tc.root, got, tc.want)
		}
	}
}

func TestFilesystems(t *testing.T) {
	s, file := socket(t), filepath.Join(t.TempDir(), "file")
	mustDo(t, os.WriteFile(file, []byte("text\n"), 0o644))
	procs := "/sys/fs/cgroup/pids/cgroup.procs"
	if cgroup.Detect() == cgroup.V2 {
		procs = "/sys/fs/cgroup/cgroup.procs"
	}
	for _, tc := range []struct {
		name   string
		mounts []specs.Mount
		script string
		want   string
	}{
		{"tmpfs takes over the mode of the directory", []specs.Mount{{Type: "tmpfs", Destination: "/srv/locked"}}, "stat -c %a /srv/locked", "711"},
		{"tmpfs with its own mode", []specs.Mount{{Type: "tmpfs", Destination: "/srv/locked", Options: []string{"mode=0750", "uid=33", "gid=34"}}},
			"stat -c '%a %u %g' /srv/locked", "750 33 34"},
		{"tmpfs that is read-only after all was made on it", []specs.Mount{{Type: "tmpfs", Destination: "/t", Options: []string{"ro"}}, {Type: "tmpfs", Destination: "/t/in/side"}},
			"touch /t/x; touch /t/in/side/x && echo ok", "touch: /t/x: Read-only file system\nok"},
		{"tmpcopyup", []specs.Mount{{Type: "tmpfs", Destination: "/srv", Options: []string{"tmpcopyup"}}},
			"cat /srv/text; readlink /srv/link; stat -c '%a %u %g' /srv/locked /srv/text; cat /srv/locked/deep; grep -c ' /srv ' /proc/mounts; echo x >/srv/new",
			"hello\n../out\n711 0 0\n640 33 34\ndeep\n1"},
		{"socket", []specs.Mount{{Type: "bind", Source: s, Destination: "/run/new/socket"}}, "test -S /run/new/socket && echo yes", "yes"},
		{"device node", []specs.Mount{{Type: "bind", Source: "/dev/zero", Destination: "/x/zero"}}, "dd if=/x/zero bs=1 count=2 2>/dev/null | wc -c", "2"},
		{"relative destination", []specs.Mount{{Type: "tmpfs", Destination: "a/../b"}}, "grep -c ' /b ' /proc/mounts", "1"},
		{"twice on one place", []specs.Mount{{Type: "tmpfs", Source: "one", Destination: "/b"}, {Type: "tmpfs", Source: "two", Destination: "/b"}},
			"grep ' /b ' /proc/mounts | while read a b; do echo $a; done", "one\ntwo"},
		{"remount of a bind", []specs.Mount{{Type: "tmpfs", Destination: "/b"}, {Destination: "/b", Options: []string{"bind", "remount", "ro", "noexec"}}},
			"touch /b/x; grep -c ' /b tmpfs ro,noexec' /proc/mounts", "touch: /b/x: Read-only file system\n1"},
		{"remount of a filesystem", []specs.Mount{{Type: "tmpfs", Destination: "/b", Options: []string{"size=64k"}}, {Destination: "/b", Options: []string{"remount", "size=128k"}}},
			"grep -c 'size=128k' /proc/mounts", "1"},
		{"cgroup is not on top of what comes after it", []specs.Mount{{Type: "bind", Source: file, Destination: procs}}, "cat " + procs, "text"},
		{"filesystem options", []specs.Mount{{Type: "tmpfs", Destination: "/b", Options: []string{"sync", "dirsync", "nr_inodes=7"}}},
			"grep -c ' /b tmpfs rw,sync,dirsync,relatime,nr_inodes=7' /proc/mounts", "1"},
		{"file of lxcfs", []specs.Mount{{Type: "bind", Source: file, Destination: "/proc/uptime"}}, "cat /proc/uptime", "text"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spec("sh", "-c", tc.script+"\ntrue")
			s.Mounts = append(s.Mounts, tc.mounts...)
			root := rootfs(t)
			fill(t, filepath.Join(root.Upper, "srv"))
			if got := must(t, s, root); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func socket(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	at := filepath.Join(t.TempDir(), "s")
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: at}); err != nil {
		t.Fatal(err)
	}
	return at
}

// fill makes a tree to be copied.
func fill(t *testing.T, dir string) {
	t.Helper()
	locked, text := filepath.Join(dir, "locked"), filepath.Join(dir, "text")
	if err := os.MkdirAll(locked, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.WriteFile(filepath.Join(locked, "deep"), []byte("deep\n"), 0o644), os.WriteFile(text, []byte("hello\n"), 0o640),
		os.Chown(text, 33, 34), os.Chmod(locked, 0o711), os.Symlink("../out", filepath.Join(dir, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestMountRefusals(t *testing.T) {
	dir := t.TempDir()
	bind := func(source, destination string, options ...string) specs.Mount {
		return specs.Mount{Type: "bind", Source: source, Destination: destination, Options: options}
	}
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}}
	for _, tc := range []struct {
		name  string
		mount specs.Mount
		text  string
	}{
		{"unknown type", specs.Mount{Type: "nofs", Destination: "/x"}, `the kernel has no filesystem "nofs"`},
		{"unknown option", specs.Mount{Type: "tmpfs", Destination: "/x", Options: []string{"bogus"}}, "Unknown parameter 'bogus'"},
		{"bad value", specs.Mount{Type: "tmpfs", Destination: "/x", Options: []string{"size=many"}}, "Bad value for 'size'"},
		{"root", bind(dir, "/"), "destination can't be '/'"},
		{"over proc", bind(dir, "/proc"), `"/proc" cannot be mounted because it is not of type proc`},
		{"tmpfs over proc", specs.Mount{Type: "tmpfs", Destination: "/proc"}, "not of type proc"},
		{"in proc", bind(dir, "/proc/sys"), `"/proc/sys" cannot be mounted because it is inside /proc`},
		{"in proc by dots", bind("/etc/passwd", "/dev/../proc/./version"), "inside /proc"},
		{"in proc by a link", bind("/etc/passwd", "/alias/version"), "inside /proc"},
		{"proc over a link", specs.Mount{Type: "proc", Destination: "/alias"}, "must be mounted on an ordinary directory"},
		{"sysfs below a link", specs.Mount{Type: "sysfs", Destination: "/away/sys"}, "must be mounted on an ordinary directory"},
		{"remount of nothing", specs.Mount{Destination: "/none", Options: []string{"remount", "ro"}}, "open mount: no such file or directory"},
		{"one map", specs.Mount{Type: "bind", Source: dir, Destination: "/x", UIDMappings: ids}, "needs uidMappings and gidMappings"},
		{"no map", bind(dir, "/x", "idmap"), "needs mappings of its own, or a container with a user namespace"},
		{"mapped filesystem", specs.Mount{Type: "tmpfs", Destination: "/x", UIDMappings: ids, GIDMappings: ids}, "ID-mapped mounts are binds only"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, root := spec("true"), rootfs(t)
			s.Mounts = append(s.Mounts, tc.mount)
			for name, to := range map[string]string{"alias": "/proc", "away": "/tmp"} {
				if err := os.Symlink(to, filepath.Join(root.Upper, name)); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, err := run(t, s, root); err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("got %v", err)
			}
		})
	}
	if err := noChildren(); err != nil {
		t.Error(err)
	}
}

func TestSpecificationOfMounts(t *testing.T) {
	s := spec("true")
	s.Linux.RootfsPropagation = "sideways"
	if _, _, err := run(t, s, rootfs(t)); err == nil || !strings.Contains(err.Error(), `linux.rootfsPropagation "sideways" is unknown`) {
		t.Error(err)
	}
	s = spec("true")
	s.Linux.MountLabel = "system_u:object_r:container_file_t:s0"
	_, _, err := run(t, s, rootfs(t))
	if _, statErr := os.Stat("/sys/fs/selinux/enforce"); statErr != nil && (err == nil || !strings.Contains(err.Error(), "SELinux is not enabled")) {
		t.Error(err)
	}
}

// Without namespaces of its own a container sees the host's.
func TestHostNamespaces(t *testing.T) {
	s := spec("sh", "-c", "readlink /proc/self/ns/pid; readlink /proc/self/ns/net; ls -d /sys/class/net/lo; cat /proc/1/comm")
	s.Linux.Namespaces, s.Hostname = []specs.LinuxNamespace{{Type: "mount"}}, ""
	var want strings.Builder
	for _, ns := range []string{"pid", "net"} {
		name, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&want, name)
	}
	comm, err := os.ReadFile("/proc/1/comm")
	if err != nil {
		t.Fatal(err)
	}
	want.WriteString("/sys/class/net/lo\n" + strings.TrimSpace(string(comm)))
	if got := must(t, s, rootfs(t)); got != want.String() {
		t.Errorf("got %q, want %q", got, want.String())
	}
}

// skipWithoutIDMaps skips where the kernel has no ID maps for the filesystem of
// the temporary directories: tmpfs has them since Linux 6.3.
func skipWithoutIDMaps(t *testing.T, err error) {
	t.Helper()
	var fs unix.Statfs_t
	mustDo(t, unix.Statfs(t.TempDir(), &fs))
	if err != nil && fs.Type == unix.TMPFS_MAGIC && strings.Contains(err.Error(), "does not support that with this kernel") {
		t.Skip("ID maps on tmpfs need Linux 6.3")
	}
}

// The files on disk belong to 0 and 5; the mount shows them as others, and what
// is written through it belongs to whom the map says.
func TestIDMappedMount(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "f"), 5, 6); err != nil {
		t.Fatal(err)
	}
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 100}}
	s := spec("sh", "-c", "stat -c '%u %g' /a/f /b/f /c/f /d/f; touch /a/new")
	s.Process.User.UID, s.Process.User.GID = 1000, 1000
	for at, options := range map[string][]string{"/a": nil, "/b": {"rbind", "idmap"}, "/c": {"rbind", "ridmap", "ro"}} {
		s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: dir, Destination: at, Options: options, UIDMappings: ids, GIDMappings: ids})
	}
	odd := []specs.LinuxIDMapping{{ContainerID: 5, HostID: 7, Size: 1}, {ContainerID: 6, HostID: 0, Size: 1}}
	s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: dir, Destination: "/d", UIDMappings: odd, GIDMappings: odd})
	got, _, err := run(t, s, rootfs(t))
	skipWithoutIDMaps(t, err)
	if err != nil || got != "1005 1006\n1005 1006\n1005 1006\n7 0\n" {
		t.Errorf("%q, %v", got, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "new"), &st); err != nil || st.Uid != 0 || st.Gid != 0 {
		t.Error(st.Uid, st.Gid, err)
	}
	if err := noChildren(); err != nil {
		t.Error(err)
	}
}
