package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// variant gives the engine an image that is busybox with links in place of
// what a path names.
func variant(t *testing.T, e *harness.Engine, name string, links map[string]string) {
	t.Helper()
	base, err := harness.BusyboxTar()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for path, target := range links {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: path, Linkname: target, Mode: 0o777}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	b.Write(base)
	cmd := e.Command("berth", "import", "-", name)
	cmd.Stdin = &b
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("import %s: %v\n%s", name, err, out)
	}
}

// The host's null device is what stdin is and what masks files: its owner and
// mode are not root's in a container to change.
func TestNullDeviceIsSafe(t *testing.T) {
	e := engine(t)
	before, err := os.Stat("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	e.OK("run", "-d", "--name", "cc", "busybox", "sh", "-c", "rm /dev/null; mkdir /dev/null; sleep 1000")
	harness.Eventually(t, "the device to go", func() bool { return e.Berth("exec", "cc", "test", "-d", "/dev/null").Code == 0 })
	e.OK("run", "--rm", "busybox", "sh", "-c", "chmod 664 /proc/self/fd/0; chown 7 /proc/self/fd/0") // its own
	for _, args := range [][]string{
		{"run", "--rm", "busybox", "chmod", "664", "/proc/keys"},
		{"run", "--rm", "busybox", "chown", "7", "/proc/keys"},
		{"exec", "cc", "chmod", "664", "/proc/self/fd/0"}, // which has no /dev/null of its own
	} {
		r := e.Berth(args...)
		if r.Code == 0 || !strings.Contains(r.Err, "Read-only file system") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	if after, err := os.Stat("/dev/null"); err != nil || after.Mode() != before.Mode() {
		_ = os.Chmod("/dev/null", before.Mode().Perm())
		t.Fatalf("/dev/null was changed: %v, %v", after.Mode(), err)
	}
	if got := e.OK("run", "--rm", "busybox", "sh", "-c", "cat | wc -c; echo x > /dev/null; cat /proc/keys | wc -c"); got != "0\n0" {
		t.Errorf("reading nothing: %q", got)
	}
}

// No descriptor of the init names a directory of the host: neither the program,
// nor its directory, nor the list of users can be found through one. A long
// data root makes the init name the layers by descriptor.
func TestDescriptorsLeadNowhere(t *testing.T) {
	e := harness.New(t)
	e.Stop()
	e.DataRoot = filepath.Join(e.Dir, strings.Repeat("d", 120), strings.Repeat("e", 120), "data")
	e.Start()
	e.Busybox()
	const climb = "/../../../../../../../../../../.."
	made := filepath.Join(e.Dir, "made")
	program := filepath.Join(e.Dir, "program")
	if err := os.Link("/bin/busybox", program); err != nil {
		b, err := os.ReadFile("/bin/busybox")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(program, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	e.OK("run", "-d", "--name", "cc", "busybox", "sleep", "1000")
	for fd := range 16 {
		at := fmt.Sprint("/proc/self/fd/", fd, climb)
		for _, args := range [][]string{
			{"run", "--rm", "-w", at + e.Dir, "busybox", "ls", "program"},
			{"exec", "-w", at + e.Dir, "cc", "ls", "program"},
			{"run", "--rm", "--entrypoint", at + program, "busybox", "true"},
		} {
			if r := e.Berth(args...); r.Code == 0 {
				t.Fatalf("%v: %+v", args, r)
			}
		}
		e.Berth("run", "--rm", "-w", at+made, "busybox", "true")
		if _, err := os.Stat(made); err == nil {
			t.Fatalf("-w %s made a directory of the host", at+made)
		}
	}
}

// What an image or a volume puts where the engine mounts is followed only
// inside the container.
func TestHostileTrees(t *testing.T) {
	e := engine(t)
	outside := filepath.Join(e.Dir, "outside")
	climb := "../../../../../../.." + outside
	for _, tc := range []struct {
		name, link string
		args       []string
	}{
		{"tmpfs", "data", []string{"--tmpfs", "/data"}},
		{"volume", "data", []string{"-v", "v1:/data"}},
		{"below", "data", []string{"-v", "v1:/data/sub/dir"}},
		{"workdir", "data", []string{"-w", "/data/made"}},
		{"hosts", "etc/hosts", nil},
		{"proc", "proc", nil},
		{"sys", "sys", nil},
		{"dev", "dev", nil},
		{"init", "sbin", []string{"--init"}},
	} {
		for i, target := range []string{outside, climb} {
			image := fmt.Sprint("hostile-", tc.name, i)
			variant(t, e, image, map[string]string{tc.link: target})
			if r := e.Berth(append(append([]string{"run", "--rm"}, tc.args...), image, "true")...); r.Code != 0 {
				t.Logf("%s: refused: %s", image, r.Err)
			}
			if _, err := os.Lstat(outside); err == nil {
				t.Fatalf("%s: made %s on the host", image, outside)
			}
		}
	}
	// A volume that turns its own mount points into links.
	e.OK("run", "--rm", "-v", "evil:/a", "busybox", "sh", "-c", "ln -s ../../../../proc /a/b; ln -s /dev/null /a/c; ln -s "+outside+" /a/d")
	for _, sub := range []string{"b", "c", "d"} {
		e.Berth("run", "--rm", "-v", "evil:/a", "-v", "other:/a/"+sub, "busybox", "true")
	}
	if _, err := os.Lstat(outside); err == nil {
		t.Fatal("a volume's link led out of the container")
	}
	// No proc that masks are not on: a link at /proc is refused, as by runc.
	variant(t, e, "procless", map[string]string{"proc": "var/p"})
	if r := e.Berth("run", "--rm", "procless", "true"); r.Code == 0 || !strings.Contains(r.Err, "/proc") {
		t.Errorf("proc over a link: %+v", r)
	}
}

// A container of the default kind and the kernel's dangerous doors.
func TestDoors(t *testing.T) {
	e := engine(t)
	runAll(t, e, []runCase{
		{"host console", []string{"busybox", "sh", "-c", "mknod /c c 5 1 && echo x > /c"}, "Operation not permitted", 1},
		{"host memory", []string{"busybox", "sh", "-c", "mknod /m c 1 1 && head -c 1 /m"}, "Operation not permitted", 1},
		{"release agent", []string{"busybox", "sh", "-c", "for f in /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs; do (: >> $f) 2>&1; done"}, "Read-only file system", 1},
		{"user namespace", []string{"busybox", "unshare", "-U", "true"}, "Operation not permitted", 1},
		{"own init is not written", []string{"--init", "busybox", "sh", "-c", ": >> /proc/1/exe"}, "can't create", 1},
		{"processes of the host", []string{"--pid", "host", "busybox", "ls", "/proc/1/root/"}, "Permission denied", 1},
	})
	init, err := os.ReadFile(harness.Bin(t, "berth-init"))
	if err != nil || !bytes.HasPrefix(init, []byte("\x7fELF")) {
		t.Errorf("berth-init was changed: %v", err)
	}
}

// The image host shows neither the engine's sockets nor its roots, wherever
// they are.
func TestHostImageHidesTheEngine(t *testing.T) {
	e := engine(t)
	for _, path := range []string{e.Socket, filepath.Join(e.ExecRoot, "shim.sock"), filepath.Join(e.DataRoot, "engine.db")} {
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
		if r := e.Berth("run", "--rm", "host", "ls", path); r.Code == 0 {
			t.Errorf("%s is seen in a container", path)
		}
	}
}
