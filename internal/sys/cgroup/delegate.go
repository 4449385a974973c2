package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/cgroup/kernfs"
	"github.com/berth-containers/berth/internal/sys/cgroup/limit"
)

// handDown lets the groups above give the group its controllers: on v2 all that
// a container may want, on a hybrid host only those with a limit.
func (g *Group) handDown(list []limit.Setting) error {
	h, ok := g.layout.unified()
	if !ok {
		return nil
	}
	var needed []string
	for _, s := range list {
		if !g.layout.has(s.Controller) && !slices.Contains(needed, s.Controller) && !s.Optional {
			needed = append(needed, s.Controller)
		}
	}
	wanted := needed
	if g.layout.mode == V2 {
		wanted = []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"}
	}
	if len(wanted) == 0 {
		return nil
	}
	dir := h.root
	for part := range strings.SplitSeq(strings.TrimPrefix(g.path, "/"), "/") {
		if err := enable(dir, wanted, needed); err != nil {
			return err
		}
		dir = filepath.Join(dir, part)
	}
	return nil
}

// enable hands the wanted controllers that dir has down to its children; it may
// fail for those that are not needed.
func enable(dir string, wanted, needed []string) error {
	have, err := kernfs.Words(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "cgroup.subtree_control")
	given, err := kernfs.Words(file)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(wanted), func(c string) bool {
		return !slices.Contains(have, c) || slices.Contains(given, c)
	})
	if len(missing) == 0 {
		return nil
	}
	isNeeded := func(c string) bool { return slices.Contains(needed, c) }
	err = kernfs.Write(file, "+"+strings.Join(missing, " +"))
	if errors.Is(err, unix.EBUSY) {
		// To hand down only those that the kernel still would makes the groups
		// below "domain invalid": nobody could join them.
		if !slices.ContainsFunc(missing, isNeeded) {
			return nil
		}
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"cgroup %s holds processes, so that no group below it can have limits; choose another cgroup parent", dir))
	}
	if err == nil {
		return nil
	}
	// One that cannot be had refuses the whole write.
	for _, c := range missing {
		if err := kernfs.Write(file, "+"+c); err != nil && isNeeded(c) {
			return undelegated(dir, c, err)
		}
	}
	return nil
}

func undelegated(dir, controller string, err error) error {
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS) {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
			"the %s controller is not delegated to this user below cgroup %s; have it delegated (with systemd: Delegate=%s in user@.service), or take the limit out",
			controller, dir, controller))
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"cgroup %s is threaded and cannot hand down %s; choose another cgroup parent", dir, controller))
	}
	return err
}

// usable refuses a group that no process can join: those below a threaded group
// are threaded or "domain invalid".
func usable(g *Group) error {
	h, ok := g.layout.unified()
	if !ok {
		return nil
	}
	kind, err := kernfs.Read(filepath.Join(h.dir(g.path), "cgroup.type"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Linux 4.13 and older
	}
	if err != nil {
		return err
	}
	if kind == "threaded" || kind == "domain invalid" {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"cgroup %s is %s because a group above is threaded; choose another cgroup parent", g.path, kind))
	}
	return nil
}

const delegateList = "/sys/kernel/cgroup/delegate"

// delegate gives the group of v2 to the user that is root in the container, as
// far as the kernel's documentation on delegation has it: the directory and some
// files, not the limits.
func delegate(g *Group, o Owner) error {
	h, ok := g.layout.unified()
	if !ok || g.layout.mode != V2 {
		return nil
	}
	files, err := kernfs.Words(delegateList)
	if errors.Is(err, fs.ErrNotExist) { // before Linux 4.15
		files, err = []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}, nil
	}
	if err != nil {
		return err
	}
	for _, name := range append(files, ".") {
		if filepath.Base(name) != name {
			continue
		}
		err := os.Chown(filepath.Join(h.dir(g.path), name), o.UID, o.GID)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // the list has controllers' files too
			return fmt.Errorf("delegate cgroup %s: %w", g.path, err)
		}
	}
	return nil
}
