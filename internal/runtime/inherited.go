package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// InheritsMounts is whether a container is made in the runtime's own mount
// namespace. Its mounts then lie on a copy of its root that covers the root, and
// whoever removes the container calls Uncover.
func InheritsMounts(l *specs.Linux) bool {
	for _, ns := range l.Namespaces {
		if ns.Type == specs.MountNamespace {
			return isOwnMounts(ns.Path)
		}
	}
	return true
}

// isOwnMounts is whether path is the mount namespace that the caller is in: to
// pivot there would take the host's root away.
func isOwnMounts(path string) bool {
	if path == "" {
		return false
	}
	own, err := os.Stat("/proc/self/ns/mnt")
	if err != nil {
		return false
	}
	other, err := os.Stat(path)
	return err == nil && os.SameFile(own, other)
}

// RootMount is the number of the mount that the directory path is of.
func RootMount(path string) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st); err != nil {
		return 0, fmt.Errorf("look at root file system %s: %w", path, err)
	}
	return st.Mnt_id, nil
}

// Uncover takes away what covers the root of a container that is gone: with it go
// the container's mounts. before is its RootMount from before the create; if that is
// what is seen there, or no mount, nothing is done.
func Uncover(path string, before uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open root file system %s: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return fmt.Errorf("look at root file system %s: %w", path, err)
	}
	if st.Mnt_id == before || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return nil
	}
	if err := unix.Unmount(fmt.Sprintf("/proc/self/fd/%d", fd), unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount root file system %s: %w", path, err)
	}
	return nil
}

// uncoverer is Uncover for a root that is about to be covered.
func uncoverer(path string) (func(context.Context) error, error) {
	before, err := RootMount(path)
	if err != nil {
		return nil, err
	}
	return func(context.Context) error { return Uncover(path, before) }, nil
}
