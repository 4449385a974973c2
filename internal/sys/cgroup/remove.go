package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/cgroup/kernfs"
)

// removeTimeout bounds a removal whose context has no deadline.
const removeTimeout = 10 * time.Second

// Remove kills what is left in the group, frozen or not, and removes it with
// the groups below it. It returns nil if there is no such group.
func (g *Group) Remove(ctx context.Context) error {
	if g.path == "/" {
		return errdefs.ErrInvalidArgument.WithMessage("the root cgroup cannot be removed")
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, removeTimeout)
		defer cancel()
	}
	wait := time.Millisecond
	for {
		err := g.removeOnce()
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		if err := g.Kill(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			list, _ := g.Pids()
			return fmt.Errorf("%w: processes %v do not end", err, list)
		case <-time.After(wait):
			wait = min(2*wait, 50*time.Millisecond)
		}
	}
}

// RemoveEmpty removes the group if nothing is in it or below it; otherwise it
// returns a Conflict. It kills nothing.
func (g *Group) RemoveEmpty() error {
	if g.path == "/" {
		return errdefs.ErrInvalidArgument.WithMessage("the root cgroup cannot be removed")
	}
	for _, h := range g.layout.hierarchies {
		err := unix.Rmdir(h.dir(g.path))
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
			return errdefs.ErrConflict.WithMessage("cgroup " + h.dir(g.path) + " is in use")
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return &fs.PathError{Op: "remove cgroup", Path: h.dir(g.path), Err: err}
		}
	}
	return nil
}

// removeOnce removes the directories of every hierarchy, the inner ones first;
// EBUSY means that there are still processes.
func (g *Group) removeOnce() error {
	var busy error
	for _, h := range g.layout.hierarchies {
		err := removeTree(h.dir(g.path))
		if errors.Is(err, unix.EBUSY) {
			busy = err
		} else if err != nil {
			return err
		}
	}
	return busy
}

func removeTree(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
		return &fs.PathError{Op: "remove cgroup", Path: dir, Err: err}
	}
	below, err := groupsBelow(dir)
	if err != nil {
		return err
	}
	for _, d := range slices.Backward(below) {
		if err := unix.Rmdir(d); err != nil && !errors.Is(err, unix.ENOENT) {
			return &fs.PathError{Op: "remove cgroup", Path: d, Err: err}
		}
	}
	return nil
}

// groupsBelow lists dir and every group below it, outer ones first.
func groupsBelow(dir string) ([]string, error) {
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list groups below: %w", err)
	}
	return list, nil
}

// Kill sends SIGKILL to every process of the group and thaws it, so that the
// signal is seen. A group without processes, or none at all, is no error.
func (g *Group) Kill() error {
	killed := false
	if h, ok := g.layout.unified(); ok {
		// Since Linux 5.14, and also for processes that fork meanwhile.
		err := kernfs.Write(filepath.Join(h.dir(g.path), "cgroup.kill"), "1")
		if err != nil && !kernfs.Gone(err) {
			return fmt.Errorf("kill cgroup: %w", err)
		}
		killed = err == nil
	}
	// On v1 a process may have left the unified group, but not all of them.
	if g.layout.mode == V1 || !killed {
		if err := g.killEach(); err != nil {
			return err
		}
	}
	if err := g.Thaw(); err != nil && !kernfs.Gone(err) {
		return err
	}
	return nil
}

func (g *Group) killEach() error {
	for _, h := range g.layout.hierarchies {
		list, err := pids(h.dir(g.path))
		if kernfs.Gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		for _, pid := range list {
			if pid == os.Getpid() {
				return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("cgroup %s holds the process that is to remove it", g.path))
			}
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("kill process %d of cgroup %s: %w", pid, g.path, err)
			}
		}
	}
	return nil
}
