package quota

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/loop"
	"github.com/berth-containers/berth/internal/sys/mount"
)

// filesystem mounts an ext4 of t's own, with project quota or without.
func filesystem(t *testing.T, features, options string) string {
	t.Helper()
	dir := t.TempDir()
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "at")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 32<<20), os.Mkdir(at, 0o755)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-O", features, image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	device, err := loop.Attach(image, false)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	err = mount.Classic(device.Name(), at, "ext4", options)
	if strings.Contains(features, "quota") && (errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EINVAL)) {
		t.Skip("the kernel has no quota format (CONFIG_QFMT_V2)")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mount.Unmount(at, true); err != nil {
			t.Error(err)
		}
	})
	return at
}

func TestWithoutQuota(t *testing.T) {
	at := filesystem(t, "^quota", "")
	if err := Set(1<<20, at); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "has no project quota") {
		t.Error(err)
	}
	if err := Clear(at); err != nil {
		t.Error(err)
	}
	if err := Set(1<<20, filepath.Join(at, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// bounded runs f without the capability to exceed quotas, as containers are.
func bounded(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var sets [2]unix.CapUserData
		err := unix.Capget(&header, &sets[0])
		if err == nil {
			sets[0].Effective &^= 1 << unix.CAP_SYS_RESOURCE
			err = unix.Capset(&header, &sets[0])
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// What lies below the directories is bounded together, what lies beside them not;
// after Clear nothing is.
func TestLimit(t *testing.T) {
	at := filesystem(t, "quota,project", "prjquota")
	dir := func(name string) string {
		name = filepath.Join(at, name)
		if err := os.MkdirAll(name, 0o755); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write := func(name string, bytesMiB int) error {
		return bounded(func() error {
			return os.WriteFile(filepath.Join(at, name), bytes.Repeat([]byte{1}, bytesMiB<<20), 0o644)
		})
	}
	if err := Set(4<<20, dir("a"), dir("a/upper"), dir("a/work")); err != nil {
		t.Fatal(err)
	}
	if err := Set(2<<20, dir("b")); err != nil {
		t.Fatal(err)
	}
	dir("a/upper/deep")
	if err := errors.Join(write("a/upper/deep/f", 3), write("b/f", 1), write("beside", 6)); err != nil {
		t.Error(err)
	}
	if err := write("a/work/f", 2); !errors.Is(err, syscall.EDQUOT) && !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("more than the bound: %v", err)
	}
	if err := os.Rename(filepath.Join(at, "a/upper/deep/f"), filepath.Join(at, "a/work/moved")); err != nil {
		t.Errorf("within one project: %v", err)
	}
	if err := Clear(filepath.Join(at, "a")); err != nil {
		t.Fatal(err)
	}
	if err := write("a/work/f", 5); err != nil {
		t.Errorf("after Clear: %v", err)
	}
}
