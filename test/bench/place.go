package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// place is a mount namespace of a peer's own.
type place struct{ namespace *os.File }

// newPlace makes one where set was called. Nothing that set mounts or unmounts is
// seen elsewhere.
func newPlace(set func() error) (*place, error) {
	type made struct {
		p   *place
		err error
	}
	result := make(chan made)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = set()
		}
		var f *os.File
		if err == nil {
			f, err = os.Open("/proc/thread-self/ns/mnt")
		}
		result <- made{&place{f}, err}
	}()
	m := <-result
	return m.p, m.err
}

// run runs cmd inside; a nil place is the lab itself.
func (p *place) run(cmd *exec.Cmd) error {
	if p == nil {
		return cmd.Run()
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Setns(int(p.namespace.Fd()), unix.CLONE_NEWNS)
		}
		if err == nil {
			err = cmd.Start()
		}
		started <- err
	}()
	if err := <-started; err != nil {
		return err
	}
	return cmd.Wait()
}

// forPodman gives podman a /run of its own, and on a hybrid host takes the
// unified hierarchy away: Debian's crun refuses to run while it has a controller.
func forPodman() error {
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	v1, v2 := cgroupMounts()
	if len(v1) == 0 {
		return nil
	}
	for _, dir := range v2 {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
	}
	return nil
}

func cgroupMounts() (v1, v2 []string) {
	b, _ := os.ReadFile("/proc/thread-self/mountinfo")
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch sep := slices.Index(f, "-"); {
		case sep < 5 || len(f) <= sep+1:
		case f[sep+1] == "cgroup":
			v1 = append(v1, f[4])
		case f[sep+1] == "cgroup2":
			v2 = append(v2, f[4])
		}
	}
	return v1, v2
}

// removeCgroup removes an empty parent of groups from every hierarchy.
func removeCgroup(name string) {
	v1, v2 := cgroupMounts()
	for _, root := range append(v1, v2...) {
		_ = os.Remove(filepath.Join(root, name))
	}
}
