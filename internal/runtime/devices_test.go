package runtime_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime"
)

func device(at, kind string, major, minor int64, mode os.FileMode, uid, gid uint32) specs.LinuxDevice {
	return specs.LinuxDevice{Path: at, Type: kind, Major: major, Minor: minor, FileMode: &mode, UID: &uid, GID: &gid}
}

// withoutMounts leaves out the mounts at or below the places.
func withoutMounts(s *specs.Spec, places ...string) {
	s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool {
		return slices.ContainsFunc(places, func(at string) bool { return m.Destination == at || strings.HasPrefix(m.Destination, at+"/") })
	})
}

const listDevices = `cd /dev; ls -l a b c d in/side 2>/dev/null | while read m l u g size rest; do echo $m $u $g; done`

func TestDevices(t *testing.T) {
	var core, coreLink string
	if _, err := os.Stat("/proc/kcore"); err == nil {
		core, coreLink = "core\n", "\n/proc/kcore"
	}
	for _, tc := range []struct {
		name    string
		devices []specs.LinuxDevice
		change  func(*specs.Spec)
		script  string
		want    string
	}{
		{"all types", []specs.LinuxDevice{device("/dev/a", "c", 1, 5, 0o640, 33, 34), device("/dev/b", "b", 7, 0, 0o600, 0, 40),
			device("/dev/c", "u", 1, 7, 0o666, 0, 0), device("/dev/d", "p", 0, 0, 0o644, 33, 0), device("/dev/in/side", "c", 1, 3, 0o444, 0, 0)}, nil, listDevices,
			"crw-r----- web web\nbrw------- root logs\ncrw-rw-rw- root root\nprw-r--r-- web root\ncr--r--r-- root root"},
		{"of the standard ones", []specs.LinuxDevice{device("/dev/null", "c", 1, 3, 0o666, 0, 0), device("/dev/ptmx", "c", 5, 2, 0o666, 0, 0)}, nil,
			"test -c /dev/null && readlink /dev/ptmx", "pts/ptmx"},
		{"outside of /dev", []specs.LinuxDevice{device("/srv/../etc/zero", "c", 1, 5, 0o666, 0, 0)}, nil, "dd if=/etc/zero bs=1 count=1 2>/dev/null | wc -c", "1"},
		{"links", nil, nil, "cd /dev; for l in fd stdin stdout stderr core; do readlink $l; done", "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2" + coreLink},
		{"without a /dev of its own", nil, func(s *specs.Spec) { withoutMounts(s, "/dev") }, "cd /dev; ls", core + "fd\nfull\nnull\nptmx\nrandom\nstderr\nstdin\nstdout\ntty\nurandom\nzero"},
		{"with a read-only /dev", []specs.LinuxDevice{device("/dev/a", "c", 1, 5, 0o666, 0, 0)}, func(s *specs.Spec) { s.Mounts[1].Options = append(s.Mounts[1].Options, "ro") },
			"test -c /dev/a && touch /dev/x", "touch: /dev/x: Read-only file system"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spec("sh", "-c", tc.script+"\ntrue")
			if tc.change != nil {
				tc.change(s)
			}
			s.Linux.Devices = tc.devices
			if got := must(t, s, rootfs(t)); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestDeviceRefusals(t *testing.T) {
	for _, tc := range []struct {
		device specs.LinuxDevice
		text   string
	}{
		{device("/dev/zero", "c", 1, 3, 0o666, 0, 0), "make device /dev/zero: something else is there"},
		{device("/etc/passwd", "c", 1, 3, 0o666, 0, 0), "make device /etc/passwd: something else is there"},
		{device("/dev/a", "x", 1, 3, 0o666, 0, 0), `unknown device type "x": use c, b, u or p`},
		{device("/dev/a", "c", -1, 3, 0o666, 0, 0), "device number -1:3"},
		{device("/", "c", 1, 3, 0o666, 0, 0), "/ has no parent"},
	} {
		s := spec("true")
		s.Linux.Devices = []specs.LinuxDevice{tc.device}
		if _, _, err := run(t, s, rootfs(t)); err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: got %v", tc.device.Path, err)
		}
	}
}

// listing is what is in a directory, with types and device numbers.
func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, e.Name()), &st); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %o %d %d:%d\n", e.Name(), st.Mode, st.Ino, st.Uid, st.Rdev)
	}
	return b.String()
}

// A /dev that is bound from the host, by its name, by a link, or with the whole
// root, is used as it is.
func TestHostDevIsNotChanged(t *testing.T) {
	ownDev(t)
	bind := specs.Mount{Type: "bind", Source: "/dev", Options: []string{"rbind"}}
	for _, tc := range []struct {
		name, at string
		prepare  func(t *testing.T, root string)
	}{
		{"by name", "/dev", nil},
		{"by another spelling", "/dev/./", nil},
		{"by a link", "/hostdev", func(t *testing.T, root string) {
			if err := os.Symlink("/hostdev", filepath.Join(root, "dev")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := listing(t, "/dev")
			s := spec("/bin/busybox", "ls", "/dev/ptmx", "/dev/own")
			withoutMounts(s, "/dev")
			b := bind
			b.Destination = tc.at
			s.Mounts = append(s.Mounts, b)
			bundle := t.TempDir()
			if err := os.CopyFS(filepath.Join(bundle, "root"), os.DirFS(layer)); err != nil {
				t.Fatal(err)
			}
			if tc.prepare != nil {
				if err := os.Remove(filepath.Join(bundle, "root/dev")); err != nil {
					t.Fatal(err)
				}
				tc.prepare(t, filepath.Join(bundle, "root"))
			}
			s.Root = &specs.Root{Path: "root"}
			out, code, err := runOptions(t, runtime.CreateOptions{ID: "dev", Spec: s, Bundle: bundle})
			if err != nil || code != 0 {
				t.Fatal(out, code, err)
			}
			if after := listing(t, "/dev"); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// ownDev covers the /dev of the tests' mount namespace with one that may be
// spoilt.
func ownDev(t *testing.T) {
	t.Helper()
	if err := unix.Mount("own", "/dev", "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount("/dev", unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "own": 5} {
		if err := unix.Mknod("/dev/"+name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mknod("/dev/ptmx", unix.S_IFCHR|0o600, int(unix.Mkdev(5, 2))); err != nil {
		t.Fatal(err)
	}
}

func TestMaskedAndReadOnly(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"secret": "s\n", "d/inner": "i\n", "open": "o\n", "ro/file": "r\n"} {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := spec("sh", "-c", `cat /v/secret /alias; ls /v/d | wc -l; cat /v/open; echo x >/v/ro/file; touch /v/ro/new; echo x >/v/open; cat /v/open
		stat -c '%F' /v/secret; touch /v/d/x; chmod 600 /v/secret; ls /etc/none; true`)
	s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: dir, Destination: "/v"})
	s.Linux.MaskedPaths = []string{"/v/secret", "/v/d", "/v/d/inner", "/v/missing/x", "/alias", "/v/secret/x"}
	s.Linux.ReadonlyPaths = []string{"/v/ro", "/v/ro/file", "/nothing", "/aliasdir"}
	root := rootfs(t)
	for name, to := range map[string]string{"alias": "v/secret", "aliasdir": "/v/ro"} {
		if err := os.Symlink(to, filepath.Join(root.Upper, name)); err != nil {
			t.Fatal(err)
		}
	}
	want := "0\no\nsh: can't create /v/ro/file: Read-only file system\ntouch: /v/ro/new: Read-only file system\nx\ncharacter special file\n" +
		"touch: /v/d/x: Read-only file system\nchmod: /v/secret: Read-only file system\nls: /etc/none: No such file or directory"
	if got := must(t, s, root); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "secret")); err != nil || string(text) != "s\n" {
		t.Error(string(text), err)
	}
}
