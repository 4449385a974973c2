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
	"os"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/mount"
)

// Builder builds one root.
type Builder struct {
	spec *wire.Root
	root int // O_PATH on the attached root
	late []specs.Mount
}

// Begin attaches the root and the mounts that don't need the cgroup.
func Begin(spec *wire.Root) (*Builder, error) {
	b := &Builder{spec: spec, root: -1}
	if err := mount.SetPropagation(hostPropagation(spec.Propagation)); err != nil {
		return nil, fmt.Errorf("set propagation of the mounts: %w", err)
	}
	if err := b.attachRoot(); err != nil {
		return nil, err
	}
	for _, m := range spec.Mounts {
		if m.Type == "cgroup" || m.Type == "cgroup2" {
			b.late = append(b.late, m)
			continue
		}
		if err := b.mount(m); err != nil {
			return nil, fmt.Errorf("mount %s on %s: %w", source(m), m.Destination, err)
		}
	}
	return b, nil
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

func source(m specs.Mount) string {
	if m.Source != "" {
		return m.Source
	}
	return m.Type
}

// MountCgroups makes the mounts that show the cgroup; the caller has joined it
// and, if it is to have one, its cgroup namespace.
func (b *Builder) MountCgroups(v2, namespaced bool) error {
	for _, m := range b.late {
		err := b.mountCgroup(m, v2, namespaced)
		if err != nil {
			return fmt.Errorf("mount cgroup on %s: %w", m.Destination, err)
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
	if err := b.enter(); err != nil {
		return fmt.Errorf("change to the root file system: %w", err)
	}
	if b.spec.Readonly {
		if err := setRoot(mount.Attr{Set: unix.MOUNT_ATTR_RDONLY}, false); err != nil {
			return fmt.Errorf("make the root file system read-only: %w", err)
		}
	}
	p := propagations[strings.TrimPrefix(b.spec.Propagation, "r")]
	if p == unix.MS_PRIVATE || p == 0 {
		return nil
	}
	if err := setRoot(mount.Attr{Propagation: p}, false); err != nil {
		return fmt.Errorf("set propagation of the root file system: %w", err)
	}
	return nil
}

func (b *Builder) enter() error {
	if !b.spec.NoPivot {
		return mount.PivotTo(b.root)
	}
	table, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return err
	}
	return mount.ChrootTo(b.root, string(table))
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
	if b.spec.Rootfs != nil {
		fd, err = overlay(b.spec.Rootfs)
	} else if fd, err = mount.Clone(b.spec.Path, true); err != nil {
		err = fmt.Errorf("open root file system %s: %w", b.spec.Path, err)
	}
	if err != nil {
		return err
	}
	// A root that others share could not be pivoted to.
	if err := mount.SetAttr(fd, mount.Attr{Propagation: unix.MS_PRIVATE}, true); err != nil {
		return fmt.Errorf("make the root file system private: %w", err)
	}
	b.root = fd
	if err := mount.AttachPath(fd, "/"); err != nil {
		return fmt.Errorf("attach the root file system: %w", err)
	}
	return nil
}

// mount makes one mount. It is made detached first: its source is looked up in
// the host's root, its place in the container's.
func (b *Builder) mount(m specs.Mount) error {
	o := parseOptions(m.Options)
	if m.Type == "bind" {
		o.bind = true
	}
	fd, err := detached(m, o)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return b.attach(fd, m.Destination)
}

func detached(m specs.Mount, o options) (int, error) {
	if !o.bind {
		return filesystem(m, o)
	}
	fd, err := mount.Clone(m.Source, o.rbind)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return -1, errors.New("bind source path does not exist: " + m.Source)
		}
		return -1, err
	}
	if err := setAttrs(fd, o); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func filesystem(m specs.Mount, o options) (int, error) {
	params := mount.Params(o.data)
	if m.Source != "" && m.Type != "proc" && m.Type != "sysfs" {
		params = append(params, mount.Param{Key: "source", Value: m.Source})
	}
	attr := o.attr.Set
	fd, err := mount.New(m.Type, params, attr)
	if err != nil {
		return -1, err
	}
	o.attr.Set = 0
	o.attr.Clear = 0
	if err := setAttrs(fd, o); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func setAttrs(fd int, o options) error {
	if o.spread {
		o.recursive.Propagation, o.attr.Propagation = o.attr.Propagation, 0
	}
	if err := mount.SetAttr(fd, o.attr, false); err != nil {
		return fmt.Errorf("set attributes: %w", err)
	}
	if err := mount.SetAttr(fd, o.recursive, true); err != nil {
		return fmt.Errorf("set attributes recursively: %w", err)
	}
	return nil
}

// attach puts a detached mount at destination, which is made if need be: a
// directory for a directory, an empty file for anything else.
func (b *Builder) attach(fd int, destination string) error {
	dir, err := mount.IsDir(fd)
	if err != nil {
		return err
	}
	make := mount.Create
	if dir {
		make = mount.Mkdir
	}
	target, err := make(b.root, destination)
	if err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	defer unix.Close(target)
	targetDir, err := mount.IsDir(target)
	if err != nil {
		return err
	}
	if targetDir != dir {
		return errors.New("are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type")
	}
	if path.Clean("/"+destination) == "/" {
		return errors.New("destination can't be '/'")
	}
	return mount.Attach(fd, target)
}
