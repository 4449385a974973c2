package e2e

import (
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// An engine that runs in a chroot, as in many CI systems: the root of a mount
// namespace is then not the container's, and exec must not land there.
func TestEngineInChroot(t *testing.T) {
	e := harness.New(t)
	e.Stop()
	root := t.TempDir()
	if err := syscall.Mount("/", root, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { // before the leak check, which looks for mounts
		if err := syscall.Unmount(root, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	if pid := e.ShimPid(); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		harness.Eventually(t, "the shim to end", func() bool { return syscall.Kill(pid, 0) != nil })
	}
	e.Root = root
	e.Start()
	e.Busybox()
	e.OK("run", "-d", "--name", "cc", "busybox", "sleep", "1000")
	if got := e.OK("exec", "cc", "cat", "/www/index.html"); got != "hello from a container" {
		t.Errorf("exec: %q", got)
	}
	if r := e.Berth("exec", "cc", "cat", "/etc/debian_version"); r.Code == 0 {
		t.Errorf("exec reads the host's files: %q", r.Out)
	}
	e.OK("rm", "-f", "cc")
	e.Stop()
	if pid := e.ShimPid(); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		harness.Eventually(t, "the shim to end", func() bool { return syscall.Kill(pid, 0) != nil })
	}
	e.Root = ""
}
