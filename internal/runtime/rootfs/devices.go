package rootfs

import (
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
	{"ptmx", "pts/ptmx"}, {"core", "/proc/kcore"},
}

// devices fills /dev, unless it is bound from somewhere.
func (b *Builder) devices() error {
	// mknod obeys the umask; a chmod afterwards might follow what somebody else
	// put there, in a directory that containers share.
	defer unix.Umask(unix.Umask(0))
	for _, m := range b.spec.Mounts {
		if path.Clean("/"+m.Destination) == "/dev" && parseOptions(m).bind {
			return nil
		}
	}
	dev, err := mount.Mkdir(b.root, "/dev")
	if err != nil {
		return fmt.Errorf("open /dev: %w", err)
	}
	defer unix.Close(dev)
	if hosts, err := isHosts(dev); err != nil || hosts {
		return err
	}
	for _, d := range standard {
		if err := makeNode(dev, d.name, unix.S_IFCHR|0o666, unix.Mkdev(d.major, d.minor), "/dev/"+d.name, 0, 0); err != nil {
			return fmt.Errorf("make /dev/%s: %w", d.name, err)
		}
	}
	for _, l := range links {
		if l[0] == "core" && unix.Access("/proc/kcore", unix.F_OK) != nil {
			continue // not in every kernel
		}
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

// isHosts is whether the directory is the host's own /dev, where a link or a bind
// may have led. Nothing may change there.
func isHosts(dev int) (bool, error) {
	var own, host unix.Stat_t
	if err := unix.Fstat(dev, &own); err != nil {
		return false, fmt.Errorf("look at /dev: %w", err)
	}
	err := unix.Stat("/dev", &host)
	return err == nil && own.Dev == host.Dev && own.Ino == host.Ino, nil
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
	if path.Clean("/"+d.Path) == "/dev/ptmx" {
		return nil // the container's own devpts has it; the node would be the host's
	}
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
		return invalid("unknown device type %q: use c, b, u or p", d.Type)
	}
	uid, gid := 0, 0
	if d.UID != nil {
		uid = int(*d.UID)
	}
	if d.GID != nil {
		gid = int(*d.GID)
	}
	if d.Type != "p" && (d.Major < 0 || d.Minor < 0) {
		return invalid("device number %d:%d: set major and minor to those that ls -l shows on the host", d.Major, d.Minor)
	}
	if err := vacant(parent, base, mode, unix.Mkdev(uint32(d.Major), uint32(d.Minor))); err != nil {
		return err
	}
	return makeNode(parent, base, mode, unix.Mkdev(uint32(d.Major), uint32(d.Minor)), d.Path, uid, gid)
}

// vacant returns an error if something else than the device is there.
func vacant(dir int, name string, mode uint32, dev uint64) error {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT || err == nil && isDevice(&st, mode, dev) {
		return nil
	}
	if err == nil {
		err = invalid("something else is there: take it out of the image or give the device another path")
	}
	return err
}

func isDevice(st *unix.Stat_t, mode uint32, dev uint64) bool {
	kind := mode & unix.S_IFMT
	return st.Mode&unix.S_IFMT == kind && (st.Rdev == dev || kind == unix.S_IFIFO)
}

// makeNode makes a device node, or where that is not allowed binds the host's. A
// file that an image has in the place of a standard device is replaced.
func makeNode(dir int, name string, mode uint32, dev uint64, host string, uid, gid int) error {
	err := unix.Mknodat(dir, name, mode, int(dev))
	if err == unix.EEXIST {
		var st unix.Stat_t
		if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if isDevice(&st, mode, dev) {
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
