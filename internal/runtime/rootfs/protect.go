package rootfs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/mount"
)

// protect masks paths and makes paths read-only.
func (b *Builder) protect() error {
	for _, name := range b.spec.ReadOnly {
		if err := b.readOnly(name); err != nil {
			return fmt.Errorf("make %s read-only: %w", name, err)
		}
	}
	file, empty := &cover{fd: -1}, &cover{fd: -1}
	defer file.close()
	defer empty.close()
	for _, name := range b.spec.Masked {
		if err := b.mask(name, file, empty); err != nil {
			return fmt.Errorf("mask %s: %w", name, err)
		}
	}
	return nil
}

func (b *Builder) readOnly(name string) error {
	at, err := b.open(name)
	if err != nil {
		return ignore(err, unix.ENOENT, unix.ENOTDIR)
	}
	defer unix.Close(at)
	fd, err := mount.CloneAt(at, "", true)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := mount.SetAttr(fd, mount.Attr{Set: unix.MOUNT_ATTR_RDONLY}, true); err != nil {
		return err
	}
	return mount.Attach(fd, at)
}

// cover is a mount that masks something, and the next ones are copies of.
type cover struct {
	fd   int // -1: not made yet
	stat unix.Stat_t
}

// mask covers a directory with an empty read-only tmpfs and anything else with
// the null device, and checks that what is seen there is that.
func (b *Builder) mask(name string, file, empty *cover) error {
	at, err := b.open(name)
	if err != nil {
		return ignore(err, unix.ENOENT, unix.ENOTDIR)
	}
	defer unix.Close(at)
	dir, err := mount.IsDir(at)
	if err != nil {
		return err
	}
	with, make := file, mount.ReadOnlyNull
	if dir {
		with, make = empty, emptyDir
	}
	if err := with.attach(at, make); err != nil {
		return err
	}
	return b.verifyMask(name, &with.stat)
}

func emptyDir() (int, error) {
	return mount.New("tmpfs", []mount.Param{{Key: "size", Value: "0"}, {Key: "mode", Value: "755"}, {Key: "nr_inodes", Value: "1"}},
		unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
}

// attach puts the cover, or a copy of it, at the place that is open.
func (c *cover) attach(at int, make func() (int, error)) error {
	if c.fd >= 0 {
		fd, err := mount.CloneAt(c.fd, "", false)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return mount.Attach(fd, at)
	}
	fd, err := make()
	if err != nil {
		return err
	}
	c.fd = fd
	if err := unix.Fstat(fd, &c.stat); err != nil {
		return err
	}
	return mount.Attach(fd, at)
}

func (c *cover) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
	}
}

func (b *Builder) verifyMask(name string, want *unix.Stat_t) error {
	seen, err := mount.OpenIn(b.root, name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer unix.Close(seen)
	var got unix.Stat_t
	if err := unix.Fstat(seen, &got); err != nil {
		return err
	}
	if want.Dev != got.Dev || want.Ino != got.Ino || want.Rdev != got.Rdev {
		return errors.New("something else is seen there")
	}
	if got.Mode&unix.S_IFMT == unix.S_IFCHR && got.Rdev != unix.Mkdev(1, 3) {
		return errors.New("the host's /dev/null is not the null device")
	}
	return nil
}
