// Package within runs code where paths mean what they mean in a container, or
// below one directory: no link, and no rename while a path is looked up, leads
// out, since the thread has another root.
//
// The code keeps this process's rights, so it does no more than to read and
// write files. The thread ends with it; a crash leaves nothing.
package within

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/mount"
)

// Mounts runs f in the root of the mount namespace behind ns. f stays on its
// goroutine: others are not there.
func Mounts(ns *os.File, f func() error) error {
	return away(func() error {
		if err := enter(ns); err != nil {
			return err
		}
		return f()
	})
}

// Root is Mounts without what is mounted on the root: f sees the directories
// below the mounts.
func Root(ns *os.File, f func() error) error {
	return away(func() error {
		if err := enter(ns); err != nil {
			return err
		}
		if err := confine("/"); err != nil {
			return err
		}
		return f()
	})
}

// Directory runs f with the directory at path as its root, without what is
// mounted below it.
func Directory(path string, f func() error) error {
	return away(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("leave the shared file system state: %w", err)
		}
		if err := confine(path); err != nil {
			return err
		}
		return f()
	})
}

func enter(ns *os.File) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("leave the shared file system state: %w", err)
	}
	conn, err := ns.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = unix.Setns(int(fd), unix.CLONE_NEWNS) }); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("enter mount namespace: %w", failed)
	}
	return nil
}

// confine makes a copy of the mount at path, without those below it, the root.
func confine(path string) error {
	fd, err := mount.Clone(path, false)
	if err != nil {
		return fmt.Errorf("copy the mount of %s: %w", path, err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Fchdir(fd), unix.Chroot(".")); err != nil {
		return fmt.Errorf("make %s the root: %w", path, err)
	}
	return nil
}

// As makes what the calling thread creates that of a user and a group, and keeps
// its rights to files. The thread is one of Mounts, Root or Directory.
func As(uid, gid int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read own capabilities: %w", err)
	}
	_, gidErr := unix.SetfsgidRetGid(gid)
	_, uidErr := unix.SetfsuidRetUid(uid)
	// The change took those effective capabilities that are about files.
	return errors.Join(gidErr, uidErr, unix.Capset(&header, &sets[0]))
}

// away runs f on a thread that no other code runs on afterwards.
func away(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			// The main thread's root is the process's in /proc. While this goroutine
			// keeps it, the next one runs on another.
			defer runtime.UnlockOSThread()
			done <- away(f)
			return
		}
		done <- f()
	}()
	return <-done
}
