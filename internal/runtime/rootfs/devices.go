package rootfs

import (
	"errors"
	"fmt"
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/mount"
)

type device struct {
	name         string
	major, minor uint32
}

// standard are the devices that every container has.
var standard = [...]device{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
}

// links are the names in /dev that every container has.
var links = [...][2]string{
	{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
	{"ptmx", "pts/ptmx"},
}

// devices fills /dev, unless it is the host's own.
func (b *Builder) devices() error {
	// mknod obeys the umask; a chmod afterwards might follow what somebody else
	// put there, in a directory that containers share.
	defer unix.Umask(unix.Umask(0))
	for _, m := range b.spec.Mounts {
		if path.Clean("/"+m.Destination) == "/dev" && (m.Type == "bind" || parseOptions(m.Options).bind) {
			return nil
		}
	}
	dev, err := mount.Mkdir(b.root, "/dev")
	if err != nil {
		return fmt.Errorf("open /dev: %w", err)
	}
	defer unix.Close(dev)
	for _, d := range standard {
		if err := makeNode(dev, d.name, unix.S_IFCHR|0o666, unix.Mkdev(d.major, d.minor), "/dev/"+d.name, 0, 0); err != nil {
			return fmt.Errorf("make /dev/%s: %w", d.name, err)
		}
	}
	for _, l := range links {
		if err := link(dev, l[1], l[0]); err != nil {
			return fmt.Errorf("link /dev/%s: %w", l[0], err)
		}
	}
	for _, d := range b.spec.Devices {
		if err := b.device(d); err != nil {
			return fmt.Errorf("make device %s: %w", d.Path, err)
		}
	}
	return nil
}

func link(dev int, target, name string) error {
	err := unix.Symlinkat(target, dev, name)
	if err == unix.EEXIST && name == "ptmx" {
		// An image's own ptmx node would be another devpts'.
		if err := unix.Unlinkat(dev, name, 0); err != nil {
			return err
		}
		return unix.Symlinkat(target, dev, name)
	}
	return ignore(err, unix.EEXIST)
}

func (b *Builder) device(d specs.LinuxDevice) error {
	parent, base, err := mount.Parent(b.root, d.Path)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	mode := uint32(0o666)
	if d.FileMode != nil {
		mode = uint32(d.FileMode.Perm())
	}
	switch d.Type {
	case "c", "u":
		mode |= unix.S_IFCHR
	case "b":
		mode |= unix.S_IFBLK
	case "p":
		mode |= unix.S_IFIFO
	default:
		return fmt.Errorf("unknown device type %q", d.Type)
	}
	uid, gid := 0, 0
	if d.UID != nil {
		uid = int(*d.UID)
	}
	if d.GID != nil {
		gid = int(*d.GID)
	}
	return makeNode(parent, base, mode, unix.Mkdev(uint32(d.Major), uint32(d.Minor)), d.Path, uid, gid)
}

// makeNode makes a device node, or where that is not allowed binds the host's.
func makeNode(dir int, name string, mode uint32, dev uint64, host string, uid, gid int) error {
	err := unix.Mknodat(dir, name, mode, int(dev))
	if err == unix.EEXIST {
		var st unix.Stat_t
		if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == mode&unix.S_IFMT && st.Rdev == dev {
			return nil
		}
		if err := unix.Unlinkat(dir, name, 0); err != nil {
			return err
		}
		err = unix.Mknodat(dir, name, mode, int(dev))
	}
	if err == unix.EPERM {
		return bindNode(dir, name, host)
	}
	if err != nil {
		return err
	}
	if uid == 0 && gid == 0 {
		return nil
	}
	return unix.Fchownat(dir, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
}

func bindNode(dir int, name, host string) error {
	fd, err := mount.Clone(host, false)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	target, err := mount.Create(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return mount.Attach(fd, target)
}

// protect masks paths and makes paths read-only.
func (b *Builder) protect() error {
	for _, name := range b.spec.ReadOnly {
		if err := b.readOnly(name); err != nil {
			return fmt.Errorf("make %s read-only: %w", name, err)
		}
	}
	for _, name := range b.spec.Masked {
		if err := b.mask(name); err != nil {
			return fmt.Errorf("mask %s: %w", name, err)
		}
	}
	return nil
}

func (b *Builder) readOnly(name string) error {
	at, err := mount.OpenIn(b.root, name, unix.O_PATH, 0)
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

// mask covers a directory with an empty read-only tmpfs and anything else with
// the null device, and checks that what is seen there is that.
func (b *Builder) mask(name string) error {
	at, err := mount.OpenIn(b.root, name, unix.O_PATH, 0)
	if err != nil {
		return ignore(err, unix.ENOENT, unix.ENOTDIR)
	}
	defer unix.Close(at)
	dir, err := mount.IsDir(at)
	if err != nil {
		return err
	}
	var fd int
	if dir {
		fd, err = mount.New("tmpfs", []mount.Param{{Key: "size", Value: "0"}, {Key: "mode", Value: "755"}, {Key: "nr_inodes", Value: "1"}},
			unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	} else {
		fd, err = mount.ReadOnlyNull()
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := mount.Attach(fd, at); err != nil {
		return err
	}
	return b.verifyMask(name, fd)
}

func (b *Builder) verifyMask(name string, cover int) error {
	seen, err := mount.OpenIn(b.root, name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer unix.Close(seen)
	var want, got unix.Stat_t
	if err := errors.Join(unix.Fstat(cover, &want), unix.Fstat(seen, &got)); err != nil {
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
