package conformance

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/test/conformance/runtime/look"
)

// seen runs the probe with one more mount and returns what is at its destination.
func (b *bundle) seen(m specs.Mount) look.Mount {
	b.t.Helper()
	b.mount(m)
	r := b.looks()
	got, ok := r.Mount(filepath.Clean("/" + m.Destination))
	if !ok {
		b.t.Fatalf("nothing is mounted at %s: %+v", m.Destination, r.Mounts)
	}
	return got
}

// rows are options of a mount and what the kernel then says, - for what it must not.
var optionRows = []struct{ options, want string }{
	{"defaults", "rw relatime -ro -nosuid -nodev -noexec"},
	{"ro", "ro -rw"},
	{"ro,rw", "rw -ro"},
	{"nosuid,nodev,noexec", "nosuid nodev noexec"},
	{"nosuid,suid,nodev,dev,noexec,exec", "-nosuid -nodev -noexec"},
	{"noatime", "noatime -relatime"},
	{"noatime,atime", "relatime -noatime"},
	{"relatime", "relatime"},
	{"norelatime", ""},
	{"strictatime", "-relatime -noatime"},
	{"strictatime,nostrictatime", "relatime"},
	{"nodiratime", "nodiratime"},
	{"nodiratime,diratime", "-nodiratime"},
	{"nosymfollow", "nosymfollow"},
	{"nosymfollow,symfollow", "-nosymfollow"},
	{"sync", "sync"},
	{"sync,async", "-sync"},
	{"dirsync", "dirsync"},
	{"lazytime", "lazytime"},
	{"lazytime,nolazytime", "-lazytime"},
	{"silent", "rw"},
	{"loud", "rw"},
	{"mand", "rw"},
	{"nomand", "rw"},
}

func checkOptions(t *testing.T, options string, m look.Mount, want string) {
	t.Helper()
	for _, w := range strings.Fields(want) {
		name, not := strings.CutPrefix(w, "-")
		if m.Has(name) == not {
			t.Errorf("%s: the mount has %v and the file system %v; want %s", options, m.Options, m.Super, want)
			return
		}
	}
}

func TestBindOptions(t *testing.T) {
	b := newBundle(t)
	source := b.temp("source")
	rows := []struct{ options, want string }{
		{"bind", "rw -nosuid"},
		{"rbind,ro", "ro"},
		{"bind,nosuid,nodev,noexec", "nosuid nodev noexec rw"},
		{"bind,ro,noatime,nodiratime", "ro noatime nodiratime"},
		{"bind,nosymfollow", "nosymfollow"},
	}
	for i, row := range rows {
		b.mount(specs.Mount{Destination: "/tmp/b" + formatUint(uint64(i)), Source: source, Options: strings.Split(row.options, ",")})
	}
	r := b.looks()
	for i, row := range rows {
		if m, ok := r.Mount("/tmp/b" + formatUint(uint64(i))); ok {
			if !m.Has("ro") && strings.Contains(row.want, "ro") {
				t.Errorf("%s: %v", row.options, m.Options)
			}
			checkOptions(t, row.options, look.Mount{Options: m.Options}, row.want)
		} else {
			t.Errorf("%s: nothing is mounted", row.options)
		}
	}
}

// A bind that does not say otherwise keeps what its source's mount forbids.
func TestBindKeepsTheSourcesFlags(t *testing.T) {
	b := newBundle(t)
	source := b.tmpfs("locked", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC)
	m := b.seen(specs.Mount{Destination: "/tmp/x", Source: source, Options: []string{"bind", "ro"}})
	if !m.Has("ro", "nosuid", "nodev", "noexec") {
		t.Errorf("the bind has %v, want ro and the source's nosuid, nodev, noexec", m.Options)
	}
}

// tmpfs mounts one in the lab until the test's end.
func (b *bundle) tmpfs(name string, flags uintptr) string {
	b.t.Helper()
	dir := b.temp(name)
	b.must(unix.Mount("tmpfs", dir, "tmpfs", flags, "mode=755"))
	b.undo(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestRecursiveOptions(t *testing.T) {
	rows := []struct{ options, want string }{
		{"rro", "ro"}, {"rro,rrw", "rw -ro"},
		{"rnosuid", "nosuid"}, {"rnosuid,rsuid", "-nosuid"},
		{"rnodev", "nodev"}, {"rnodev,rdev", "-nodev"},
		{"rnoexec", "noexec"}, {"rnoexec,rexec", "-noexec"},
		{"rnoatime", "noatime"}, {"rnoatime,ratime", "-noatime"},
		{"rnodiratime", "nodiratime"}, {"rnodiratime,rdiratime", "-nodiratime"},
		{"rrelatime", "relatime"}, {"rnoatime,rnorelatime", ""}, {"rstrictatime", "-relatime -noatime"}, {"rstrictatime,rnostrictatime", ""},
		{"rnosymfollow", "nosymfollow"}, {"rnosymfollow,rsymfollow", "-nosymfollow"},
	}
	b := newBundle(t)
	source := b.tmpfs("tree", 0)
	b.must(os.Mkdir(filepath.Join(source, "sub"), 0o755))
	b.must(unix.Mount("tmpfs", filepath.Join(source, "sub"), "tmpfs", 0, ""))
	for i, row := range rows {
		b.mount(specs.Mount{Destination: "/tmp/r" + formatUint(uint64(i)), Source: source, Options: append([]string{"rbind"}, strings.Split(row.options, ",")...)})
	}
	r := b.looks()
	for i, row := range rows {
		for _, point := range []string{"/tmp/r" + formatUint(uint64(i)), "/tmp/r" + formatUint(uint64(i)) + "/sub"} {
			m, ok := r.Mount(point)
			if !ok {
				t.Errorf("%s: nothing is mounted at %s", row.options, point)
			}
			checkOptions(t, row.options+" at "+point, look.Mount{Options: m.Options}, row.want)
		}
	}
}

func TestBindSources(t *testing.T) {
	b := newBundle(t)
	dir := b.temp("outside")
	b.must(os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o644))
	b.must(os.WriteFile(filepath.Join(b.dir, "beside"), []byte("relative"), 0o644))
	socket, err := net.Listen("unix", filepath.Join(dir, "socket"))
	b.must(err)
	defer socket.Close()
	b.must(unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	b.mount(specs.Mount{Destination: "/etc/new/file", Source: filepath.Join(dir, "file"), Options: []string{"bind"}})
	b.mount(specs.Mount{Destination: "/relative", Source: "beside", Options: []string{"bind", "ro"}})
	b.mount(specs.Mount{Destination: "/run/socket", Source: filepath.Join(dir, "socket"), Type: "none", Options: []string{"rbind"}})
	b.mount(specs.Mount{Destination: "/run/fifo", Source: filepath.Join(dir, "fifo"), Type: "bind", Options: []string{"bind"}})
	b.expect([][2]string{
		{"read,/etc/new/file", `"content"`},
		{"read,/relative", `"relative"`},
		{"write,/relative,x", "EROFS"},
	})
	answers := b.tries("stat,/run/socket", "stat,/run/fifo")
	if !strings.HasPrefix(answers[0], "socket ") || !strings.HasPrefix(answers[1], "fifo ") {
		t.Errorf("bound socket and fifo are %q", answers)
	}
}

// "it MAY be a relative path, in which case it MUST be interpreted as relative to /".
func TestRelativeDestination(t *testing.T) {
	b := newBundle(t)
	if m := b.seen(specs.Mount{Destination: "var/here", Type: "tmpfs", Source: "tmpfs"}); m.Type != "tmpfs" {
		t.Errorf("at var/here: %+v", m)
	}
}

func TestBindOfMissingSource(t *testing.T) {
	b := newBundle(t)
	b.mount(specs.Mount{Destination: "/x", Source: "/no/such/source", Options: []string{"bind"}})
	b.fails("/no/such/source")
}

// Each entry is mounted upon what the earlier ones show.
func TestMountOrder(t *testing.T) {
	b := newBundle(t)
	dir := b.temp("under")
	b.must(os.WriteFile(filepath.Join(dir, "hidden"), nil, 0o644))
	b.mount(specs.Mount{Destination: "/var", Type: "tmpfs", Source: "first"})
	b.mount(specs.Mount{Destination: "/var/sub", Source: dir, Options: []string{"bind"}})
	b.mount(specs.Mount{Destination: "/var/sub", Type: "tmpfs", Source: "third"})
	r := b.looks()
	var points []string
	for _, m := range r.Mounts {
		if strings.HasPrefix(m.Point, "/var") {
			points = append(points, m.Point+" "+m.Type)
		}
	}
	if len(points) != 3 || points[0] != "/var tmpfs" || points[2] != "/var/sub tmpfs" {
		t.Errorf("mounts in this order: %q", points)
	}
	if m, _ := r.Mount("/var"); m.Source != "first" {
		t.Errorf("the source of /var is %q, want first", m.Source)
	}
}

// Options that are not known go to the file system, which may refuse them.
func TestFileSystemOptions(t *testing.T) {
	b := newBundle(t)
	m := b.seen(specs.Mount{Destination: "/x", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=1m", "mode=700", "nr_inodes=77"}})
	if !m.Has("size=1024k", "mode=700", "nr_inodes=77") {
		t.Errorf("the tmpfs has %v", m.Super)
	}
	b = newBundle(t)
	b.mount(specs.Mount{Destination: "/x", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuchoption=1"}})
	b.fails("nosuchoption|/x")
	b = newBundle(t)
	b.mount(specs.Mount{Destination: "/x", Type: "nosuchfs", Source: "x"})
	b.fails("nosuchfs")
}

func TestRemount(t *testing.T) {
	b := newBundle(t)
	b.mount(specs.Mount{Destination: "/x", Type: "tmpfs", Source: "tmpfs"})
	if m := b.seen(specs.Mount{Destination: "/x", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", "ro", "nosuid"}}); !m.Has("ro", "nosuid") {
		t.Errorf("after a remount: %v", m.Options)
	}
}

func TestMountPropagation(t *testing.T) {
	for option, kinds := range map[string][2]string{
		"private": {"private", "shared"}, "rprivate": {"private", "private"},
		"shared": {"shared", "shared"}, "rshared": {"shared", "shared"},
		"slave": {"master", "shared"}, "rslave": {"master", "master"},
		"unbindable": {"unbindable", "shared"}, "runbindable": {"unbindable", "unbindable"},
	} {
		t.Run(option, func(t *testing.T) {
			b := newBundle(t)
			source := b.tmpfs("tree", 0)
			sub := filepath.Join(source, "sub")
			b.must(os.Mkdir(sub, 0o755))
			b.must(unix.Mount("tmpfs", sub, "tmpfs", 0, ""))
			b.must(unix.Mount("", source, "", unix.MS_SHARED|unix.MS_REC, ""))
			b.mount(specs.Mount{Destination: "/x", Source: source, Options: []string{"rbind", option}})
			b.spec.Linux.RootfsPropagation = "rslave"
			r := b.looks()
			top, _ := r.Mount("/x")
			below, _ := r.Mount("/x/sub")
			if !top.Is(kinds[0]) {
				t.Errorf("the bind is %v, want %s", top.Propagation, kinds[0])
			}
			if strings.HasPrefix(option, "r") && !below.Is(kinds[1]) {
				t.Errorf("the mount below is %v, want %s", below.Propagation, kinds[1])
			}
		})
	}
}

// sections is what ls prints of directories, whatever their order.
func sections(s string) string {
	parts := strings.Split(strings.TrimSpace(s), "\n\n")
	slices.Sort(parts)
	return strings.Join(parts, "\n")
}

func TestRoot(t *testing.T) {
	b := newBundle(t)
	b.spec.Root.Path = b.rootfs
	if r := b.looks(); !slices.ContainsFunc(r.Mounts, func(m look.Mount) bool { return m.Point == "/" && m.Has("rw") }) {
		t.Errorf("the root's mounts: %+v", r.Mounts)
	}
	b = newBundle(t)
	b.spec.Root.Readonly = true
	b.mount(specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"})
	b.expect([][2]string{{"create,/file", "EROFS"}, {"create,/tmp/file", "ok"}, {"create,/dev/shm/file", "ok"}})
	b = newBundle(t)
	b.spec.Root.Path = "nowhere"
	b.fails("nowhere")
	b = newBundle(t)
	b.spec.Root = nil
	b.fails("root")
}

func TestMaskedPaths(t *testing.T) {
	b := newBundle(t)
	b.write("etc/secret", "secret")
	b.write("etc/secrets/one", "secret")
	b.spec.Linux.MaskedPaths = []string{"/etc/secret", "/etc/secrets", "/etc/none", "/proc/version"}
	b.expect([][2]string{
		{"read,/etc/secret", `""`},
		{"read,/etc/secrets/one", "ENOENT"},
		{"create,/etc/secrets/two", "EROFS"},
		{"read,/proc/version", `""`},
		{"stat,/etc/none", "ENOENT"},
	})
}

func TestReadonlyPaths(t *testing.T) {
	b := newBundle(t)
	b.write("etc/file", "x")
	b.write("var/dir/file", "x")
	b.spec.Linux.ReadonlyPaths = []string{"/etc/file", "/var/dir", "/none", "/proc/sys"}
	b.expect([][2]string{
		{"write,/etc/file,y", "EROFS"},
		{"write,/var/dir/file,y", "EROFS"},
		{"create,/var/other", "ok"},
		{"write,/proc/sys/kernel/hostname,y", "EROFS"},
		{"stat,/none", "ENOENT"},
	})
}

func TestDevices(t *testing.T) {
	b := newBundle(t)
	b.spec.Linux.Devices = []specs.LinuxDevice{
		{Path: "/dev/mine", Type: "c", Major: 1, Minor: 5, FileMode: ptr(os.FileMode(0o640)), UID: ptr(uint32(7)), GID: ptr(uint32(8))},
		{Path: "/dev/sub/block", Type: "b", Major: 7, Minor: 9, FileMode: ptr(os.FileMode(0o600))},
		{Path: "/dev/unbuffered", Type: "u", Major: 1, Minor: 3},
		{Path: "/run/pipe", Type: "p", FileMode: ptr(os.FileMode(0o666))},
		{Path: "/etc/null", Type: "c", Major: 1, Minor: 3},
	}
	b.expect([][2]string{
		{"stat,/dev/mine", "char 0640 7:8 1:5"},
		{"stat,/dev/sub/block", "block 0600 0:0 7:9"},
		{"stat,/run/pipe", "fifo 0666 0:0 0:0"},
		{"stat,/dev/null", "char 0666 0:0 1:3"}, {"stat,/dev/zero", "char 0666 0:0 1:5"}, {"stat,/dev/full", "char 0666 0:0 1:7"},
		{"stat,/dev/random", "char 0666 0:0 1:8"}, {"stat,/dev/urandom", "char 0666 0:0 1:9"}, {"stat,/dev/tty", "char 0666 0:0 5:0"},
		{"link,/dev/fd", "/proc/self/fd"}, {"link,/dev/stdin", "/proc/self/fd/0"}, {"link,/dev/stdout", "/proc/self/fd/1"}, {"link,/dev/stderr", "/proc/self/fd/2"},
		{"link,/dev/ptmx", "pts/ptmx"},
		{"stat,/dev/console", "ENOENT"},
	})
	for path, want := range map[string]string{"/dev/unbuffered": " 1:3", "/etc/null": " 1:3"} {
		if got := b.tries("stat," + path)[0]; !strings.HasPrefix(got, "char ") || !strings.HasSuffix(got, want) {
			t.Errorf("%s is %s", path, got)
		}
	}
}

// All of them in one container: a mount each.
func TestMountOptions(t *testing.T) {
	b := newBundle(t)
	for i, row := range optionRows {
		b.mount(specs.Mount{Destination: "/tmp/o" + formatUint(uint64(i)), Type: "tmpfs", Source: "tmpfs", Options: strings.Split(row.options, ",")})
	}
	r := b.looks()
	for i, row := range optionRows {
		m, ok := r.Mount("/tmp/o" + formatUint(uint64(i)))
		if !ok {
			t.Errorf("%s: nothing is mounted", row.options)
			continue
		}
		want := row.want
		if strings.Contains(want, "ro -rw") { // the file system itself may stay writable
			want = "ro"
		}
		checkOptions(t, row.options, m, want)
	}
}

func TestMountTypesAndSources(t *testing.T) {
	b := newBundle(t)
	r := b.looks()
	for _, want := range b.spec.Mounts {
		m, ok := r.Mount(want.Destination)
		if !ok || m.Type != want.Type || m.Source != want.Source {
			t.Errorf("%s is %s from %q, want %s from %q", want.Destination, m.Type, m.Source, want.Type, want.Source)
		}
	}
	for point, options := range map[string][]string{"/proc": {"nosuid", "noexec", "nodev"}, "/dev/shm": {"nosuid", "size=65536k"}, "/sys": {"ro"}, "/dev": {"mode=755"}} {
		if m, _ := r.Mount(point); !m.Has(options...) {
			t.Errorf("%s has %v and %v, want %v", point, m.Options, m.Super, options)
		}
	}
}

func TestTmpcopyup(t *testing.T) {
	b := newBundle(t)
	b.write("etc/sub/file", "copied")
	b.must(os.Chmod(filepath.Join(b.rootfs, "etc/sub"), 0o700))
	b.must(os.Chown(filepath.Join(b.rootfs, "etc/sub/file"), 5, 6))
	b.mount(specs.Mount{Destination: "/etc", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup", "mode=755"}})
	b.expect([][2]string{
		{"read,/etc/sub/file", `"copied"`},
		{"stat,/etc/sub/file", "file 0644 5:6 0:0"},
		{"stat,/etc/sub", "dir 0700 0:0 0:0"},
		{"write,/etc/sub/file,x", "ok"},
	})
	if got := read(filepath.Join(b.rootfs, "etc/sub/file")); got != "copied" {
		t.Errorf("the image's file changed to %q", got)
	}
}

func TestRootfsPropagation(t *testing.T) {
	for value, kind := range map[string]string{
		"private": "private", "rprivate": "private", "slave": "master", "rslave": "master",
		"shared": "shared", "rshared": "shared", "unbindable": "unbindable", "runbindable": "unbindable", "": "any",
	} {
		t.Run(value, func(t *testing.T) {
			b := newBundle(t)
			root := b.tmpfs("root", 0)
			b.must(unix.Mount("", root, "", unix.MS_SHARED, ""))
			b.must(os.MkdirAll(filepath.Join(root, "bin"), 0o755))
			for _, dir := range []string{"proc", "dev", "sys"} {
				b.must(os.MkdirAll(filepath.Join(root, dir), 0o755))
			}
			b.must(copyFile(filepath.Join(templates, "probe"), filepath.Join(root, "probe")))
			b.spec.Root.Path = root
			b.spec.Linux.RootfsPropagation = value
			r := b.looks()
			m, _ := r.Mount("/")
			if kind != "any" && !m.Is(kind) {
				t.Errorf("the root is %v, want %s", m.Propagation, kind)
			}
		})
	}
	b := newBundle(t)
	b.spec.Linux.RootfsPropagation = "public"
	b.fails("public")
}

// "If a file already exists at path that does not match the requested device, the
// runtime MUST generate an error."
func TestDeviceOverAnotherFile(t *testing.T) {
	b := newBundle(t)
	b.write("etc/taken", "")
	b.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/etc/taken", Type: "c", Major: 1, Minor: 3}}
	b.fails("/etc/taken")
	b = newBundle(t)
	b.must(unix.Mknod(filepath.Join(b.rootfs, "etc/same"), syscall.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	b.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/etc/same", Type: "c", Major: 1, Minor: 3}}
	b.looks()
	b = newBundle(t)
	b.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "z", Major: 1, Minor: 3}}
	b.fails("z")
}

// A mount that the host makes later is seen by a slave and not by a private one,
// and a shared one gives its own to the host.
func TestMountPropagationWorks(t *testing.T) {
	b := newBundle(t, "/bin/sleep", "600")
	source := b.tmpfs("tree", 0)
	b.must(unix.Mount("", source, "", unix.MS_SHARED, ""))
	for _, dir := range []string{"later", "inner"} {
		b.must(os.Mkdir(filepath.Join(source, dir), 0o755))
	}
	b.mount(specs.Mount{Destination: "/slave", Source: source, Options: []string{"rbind", "rslave"}})
	b.mount(specs.Mount{Destination: "/private", Source: source, Options: []string{"rbind", "rprivate"}})
	b.mount(specs.Mount{Destination: "/shared", Source: source, Options: []string{"rbind", "rshared"}})
	b.spec.Linux.RootfsPropagation = "rshared"
	b.capable("CAP_SYS_ADMIN")
	b.start()
	b.must(unix.Mount("tmpfs", filepath.Join(source, "later"), "tmpfs", 0, ""))
	b.must(os.WriteFile(filepath.Join(source, "later/flag"), nil, 0o644))
	r := b.exec("/bin/ls", "/slave/later", "/private/later", "/shared/later")
	if want := "/slave/later:\nflag\n\n/private/later:\n\n/shared/later:\nflag\n"; sections(r.out) != sections(want) {
		t.Errorf("the container sees %q, want %q (%s)", r.out, want, r.err)
	}
	if r := b.exec("/bin/mount", "-t", "tmpfs", "tmpfs", "/shared/inner"); r.code != 0 {
		t.Fatalf("mount in the container: %s", r.err)
	}
	if !slices.ContainsFunc(look.ParseMounts(read("/proc/self/mountinfo")), func(m look.Mount) bool { return m.Point == filepath.Join(source, "inner") }) {
		t.Error("what the container mounts on a shared mount is not seen outside")
	}
}
