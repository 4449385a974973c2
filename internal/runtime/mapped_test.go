package runtime_test

import (
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime"
)

// The layers belong to the host's root, which is the container's: the root
// filesystem is seen through the map, and what is written belongs to 0 on disk.
func TestMappedRootfs(t *testing.T) {
	s := spec("sh", "-c", "stat -c '%u %g' /bin /etc/passwd /bin/busybox; touch /etc/new; mkdir /d; echo x >>/etc/passwd; stat -c '%u %g' /etc/new /d; cat /proc/self/uid_map | while read a b c; do echo $a $b $c; done; test -c /dev/null && echo x >/dev/null; ls /dev | grep -v core")
	inUsers(s)
	root := rootfs(t)
	got, _, err := run(t, s, root)
	skipWithoutIDMaps(t, err)
	want := "0 0\n0 0\n0 0\n0 0\n0 0\n0 100000 65536\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n"
	if err != nil || got != want {
		t.Errorf("%v\ngot  %q\nwant %q", err, got, want)
	}
	for _, name := range []string{"etc/new", "d", "etc/passwd"} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(root.Upper, name), &st); err != nil || st.Uid != 0 || st.Gid != 0 {
			t.Errorf("%s belongs to %d:%d, %v", name, st.Uid, st.Gid, err)
		}
	}
}

func TestMappedBinds(t *testing.T) {
	tree := hostTree(t)
	mustDo(t, unix.Mount("", tree, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_RDONLY, ""))
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed")
	mustDo(t, os.MkdirAll(filepath.Join(closed, "in"), 0o755), os.WriteFile(filepath.Join(closed, "in/f"), []byte("in\n"), 0o644), os.Chmod(closed, 0o700), os.WriteFile(filepath.Join(dir, "plain"), nil, 0o644))
	bind := func(source, at string, options ...string) specs.Mount {
		return specs.Mount{Type: "bind", Source: source, Destination: at, Options: append(options, "rbind")}
	}
	s := spec("sh", "-c", `cat /in/f; stat -c %u /in/f /idmap/plain; touch /idmap/new; mount -o remount,bind,rw,suid,dev /locked 2>&1; touch /locked/x; grep ' /locked ' /proc/mounts | while read a b c o r; do echo ${o%%,relatime*}; done`)
	inUsers(s)
	s.Process.Capabilities.Bounding = append(s.Process.Capabilities.Bounding[:len(defaultCaps):len(defaultCaps)], "CAP_SYS_ADMIN")
	s.Process.Capabilities.Effective, s.Process.Capabilities.Permitted = s.Process.Capabilities.Bounding, s.Process.Capabilities.Bounding
	s.Mounts = append(s.Mounts, bind(closed+"/in", "/in"), bind(dir, "/idmap", "idmap"), bind(tree, "/locked", "noexec"))
	bundle, root := bundleRoot(t)
	s.Root = &specs.Root{Path: "root"}
	mustDo(t, chownTree(root, 100000), os.Chmod(bundle, 0o700)) // the root is out of reach for the container's
	out, code, err := runOptions(t, runtime.CreateOptions{ID: "users", Spec: s, Bundle: bundle})
	skipWithoutIDMaps(t, err)
	want := "in\n65534\n0\nmount: permission denied (are you root?)\ntouch: /locked/x: Read-only file system\nro,nosuid,nodev,noexec\n"
	if err != nil || code != 0 || out != want {
		t.Errorf("code %d, %v\ngot  %q\nwant %q", code, err, out, want)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "new"), &st); err != nil || st.Uid != 0 {
		t.Error(st.Uid, err)
	}
	s.Mounts = append(s.Mounts, bind(tree, "/cleared", "suid"))
	if _, _, err := runOptions(t, runtime.CreateOptions{ID: "users", Spec: s, Bundle: bundle}); err == nil {
		t.Error("a locked flag was cleared")
	}
}

func chownTree(root string, id int) error {
	return filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, id, id)
	})
}
