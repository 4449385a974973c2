package cgroup

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Writable is an error with the directory, if the caller may not make the group
// at path.
func Writable(path string) error { return writable(current(), path) }

func writable(l *layout, path string) error {
	if l.mode == None {
		return l.missing()
	}
	for _, h := range l.hierarchies {
		if !h.unified && len(h.controllers) == 1 && strings.HasPrefix(h.controllers[0], "name=") {
			continue // no limit needs it
		}
		dir := h.dir(filepath.Clean("/" + path))
		for dir != h.root && unix.Access(dir, unix.F_OK) != nil {
			dir = filepath.Dir(dir)
		}
		if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK, unix.AT_EACCESS); err != nil {
			return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("no cgroup can be made in %s: %v", dir, err))
		}
	}
	return nil
}
