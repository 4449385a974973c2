// Package rootfs builds a container's file tree inside the container's own
// mount namespace: the root, the mounts on it, the devices, what is masked and
// what is read-only. It runs in the init, before the init gives up the host.
//
// Nothing of it is seen by another mount namespace, and all of it goes away
// with the last process of the container.
package rootfs

import (
	"errors"
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/mount"
)

// Builder builds one root.
type Builder struct {
	spec *wire.Root
	ask  Ask
	root int // O_PATH on the attached root
	late int // the first mount that waits for the cgroup

	anchors      anchors
	readOnlyLast []int // mounts that become read-only when all is made
}

// Begin attaches the root and, in the order of the list, the mounts up to the
// first that shows the cgroup. What needs the host's privileges is asked for.
func Begin(spec *wire.Root, ask Ask) (*Builder, error) {
	b := &Builder{spec: spec, ask: ask, root: -1, late: len(spec.Mounts)}
	attach := b.attachRoot
	if spec.Inherited {
		attach = b.coverRoot
	} else if err := mount.SetPropagation(hostPropagation(spec.Propagation)); err != nil {
		return nil, fmt.Errorf("set propagation of the mounts: %w", err)
	}
	if err := attach(); err != nil {
		return nil, err
	}
	for i, m := range spec.Mounts {
		if isCgroup(m) {
			b.late = i
			break
		}
		if err := b.mount(i); err != nil {
			return nil, explainMount(m, err)
		}
	}
	return b, nil
}

func isCgroup(m specs.Mount) bool { return m.Type == "cgroup" || m.Type == "cgroup2" }

func explainMount(m specs.Mount, err error) error {
	return fmt.Errorf("mount %s on %s: %w", source(m), m.Destination, err)
}

// hostPropagation is that of the host's mounts as the container's are made
// from them; the root's own is set by Finish.
func hostPropagation(name string) uintptr {
	switch name {
	case "private", "rprivate":
		return unix.MS_PRIVATE
	case "shared", "rshared":
		return unix.MS_SHARED
	}
	return unix.MS_SLAVE
}

// MountCgroups makes the mounts that show the cgroup, and those that come after
// them in the list; the caller has joined the cgroup and, if it is to have one,
// its cgroup namespace.
func (b *Builder) MountCgroups(v2, namespaced bool) error {
	for i := b.late; i < len(b.spec.Mounts); i++ {
		m := b.spec.Mounts[i]
		var err error
		if isCgroup(m) {
			err = b.mountCgroup(m, v2, namespaced)
		} else {
			err = b.mount(i)
		}
		if err != nil {
			return explainMount(m, err)
		}
	}
	return nil
}

// Finish makes the devices, hides what is masked, and changes to the new root.
func (b *Builder) Finish() error {
	if err := b.devices(); err != nil {
		return err
	}
	if err := b.protect(); err != nil {
		return err
	}
	for _, a := range b.anchors {
		unix.Close(a.fd)
	}
	for _, fd := range b.readOnlyLast {
		if err := errors.Join(mount.SetAttr(fd, mount.Attr{Set: unix.MOUNT_ATTR_RDONLY}, false), unix.Close(fd)); err != nil {
			return fmt.Errorf("make a tmpfs read-only: %w", err)
		}
	}
	if err := b.enter(); err != nil {
		return fmt.Errorf("change to the root file system: %w", err)
	}
	if b.spec.Readonly {
		if err := setRoot(mount.Attr{Set: unix.MOUNT_ATTR_RDONLY}, false); err != nil {
			return fmt.Errorf("make the root file system read-only: %w", err)
		}
	}
	name := strings.TrimPrefix(b.spec.Propagation, "r")
	p := propagations[name]
	if p != unix.MS_SHARED && p != unix.MS_UNBINDABLE {
		return nil // it is, since it was attached
	}
	recursive := name != b.spec.Propagation
	if err := setRoot(mount.Attr{Propagation: p}, recursive); err != nil {
		return fmt.Errorf("set propagation of the root file system: %w", err)
	}
	return nil
}

func (b *Builder) enter() error {
	if b.spec.Inherited {
		return mount.ChrootTo(b.root, "")
	}
	if !b.spec.NoPivot {
		return mount.PivotTo(b.root)
	}
	if b.spec.InPlace {
		if err := mount.AttachPath(b.root, "/"); err != nil {
			return err
		}
	}
	table, err := mountTable()
	if err != nil {
		return err
	}
	return mount.ChrootTo(b.root, table)
}

func setRoot(a mount.Attr, recursive bool) error {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return mount.SetAttr(fd, a, recursive)
}

func (b *Builder) attachRoot() error {
	// What is attached to the old root must not appear on the host.
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the old root private: %w", err)
	}
	var fd int
	var err error
	switch {
	case b.spec.Mapped:
		fd, err = b.ask(Root)
	case b.spec.Rootfs != nil:
		fd, err = overlay(b.spec.Rootfs)
	default:
		fd, err = b.plainRoot()
	}
	if err != nil {
		return err
	}
	b.root = fd
	if err := b.isolate(); err != nil {
		return fmt.Errorf("make the root file system private: %w", err)
	}
	at := "/"
	if b.spec.InPlace && b.spec.Rootfs == nil {
		at, err = privatePlace(b.spec.Path)
		if errors.Is(err, unix.EACCES) {
			at, err = "/", nil // not for the container's user
		}
		if err != nil {
			return fmt.Errorf("find the place of the root file system: %w", err)
		}
	}
	if err := mount.AttachPath(fd, at); err != nil {
		return fmt.Errorf("attach the root file system: %w", err)
	}
	return nil
}

// isolate keeps the root from being shared: it could not be pivoted to. A slave,
// which the host's mounts are by now, may stay one.
func (b *Builder) isolate() error {
	if propagations[strings.TrimPrefix(b.spec.Propagation, "r")] == unix.MS_SLAVE {
		return nil
	}
	return mount.SetAttr(b.root, mount.Attr{Propagation: unix.MS_PRIVATE}, true)
}

// plainRoot clones the directory that is the root, with the mounts on it.
func (b *Builder) plainRoot() (int, error) {
	fd, err := mount.Clone(b.spec.Path, true)
	if errors.Is(err, unix.EACCES) {
		fd, err = b.ask(Root)
	}
	if err != nil {
		return -1, fmt.Errorf("open root file system %s: %w", b.spec.Path, err)
	}
	return fd, nil
}
