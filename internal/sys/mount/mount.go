// Package mount makes and attaches mounts by descriptor: a mount is made
// detached, gets its attributes, and only then appears at a place that was
// resolved by a descriptor too. No path into a container is ever a string to
// the kernel without a root that it cannot leave.
//
// A detached mount goes away with its descriptor, so a crash leaves nothing.
package mount

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Attr are the attributes and the propagation of a mount.
type Attr struct {
	Set, Clear  uint64 // MOUNT_ATTR_*
	Propagation uint64 // MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE; 0 leaves it
}

// Clone returns a detached copy of the mount at path, with the mounts below it
// if recursive.
func Clone(path string, recursive bool) (int, error) {
	return CloneAt(unix.AT_FDCWD, path, recursive)
}

// CloneAt is Clone below dirfd; an empty path is dirfd itself.
func CloneAt(dirfd int, path string, recursive bool) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	return retry(func() (int, error) { return unix.OpenTree(dirfd, path, flags) })
}

// CloneBeneath is Clone of name below the directory base; no link leads out.
func CloneBeneath(base, name string, recursive bool) (int, error) {
	root, err := unix.Open(base, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	at, err := OpenBeneath(root, name)
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	return CloneAt(at, "", recursive)
}

// SetAttr changes a mount, and those below it if recursive.
func SetAttr(fd int, a Attr, recursive bool) error {
	if a == (Attr{}) {
		return nil
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return unix.MountSetattr(fd, "", flags, &unix.MountAttr{Attr_set: a.Set, Attr_clr: a.Clear, Propagation: a.Propagation})
}

// SetIDMap shows a detached mount, and those below it if recursive, through the
// ID map of the user namespace users.
func SetIDMap(fd, users int, recursive bool) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return unix.MountSetattr(fd, "", flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users)})
}

// Attach puts the detached mount at the place that target is open on.
func Attach(fd, target int) error {
	return unix.MoveMount(fd, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// AttachAt puts the detached mount at name in the directory dir, which nobody
// else can change.
func AttachAt(fd, dir int, name string) error {
	return unix.MoveMount(fd, "", dir, name, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// AttachPath puts the detached mount at path of the caller's own root.
func AttachPath(fd int, path string) error {
	return unix.MoveMount(fd, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// Param is one parameter of a filesystem. Without a value it is a flag.
type Param struct {
	Key, Value string
	Flag       bool
}

// Params parses "size=64m" and "gid=5" or "newinstance".
func Params(options []string) []Param {
	var ps []Param
	for _, o := range options {
		key, value, ok := strings.Cut(o, "=")
		ps = append(ps, Param{Key: key, Value: value, Flag: !ok})
	}
	return ps
}

// New makes a detached mount of a new filesystem. The kernel's own words about
// a refused parameter are in the error.
func New(fstype string, params []Param, attr uint64) (int, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open filesystem %s: %w", fstype, err)
	}
	defer unix.Close(fs)
	if err := configure(fs, fstype, params); err != nil {
		return -1, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, explain(fs, fmt.Errorf("create filesystem %s: %w", fstype, err))
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(attr))
	if err != nil {
		return -1, explain(fs, fmt.Errorf("mount filesystem %s: %w", fstype, err))
	}
	return fd, nil
}

// Reconfigure changes the parameters of the filesystem that the mount at is of.
func Reconfigure(at int, params []Param) error {
	fs, err := unix.Fspick(at, "", unix.FSPICK_EMPTY_PATH|unix.FSPICK_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open filesystem: %w", err)
	}
	defer unix.Close(fs)
	if err := configure(fs, "filesystem", params); err != nil {
		return err
	}
	if err := unix.FsconfigReconfigure(fs); err != nil {
		return explain(fs, fmt.Errorf("change filesystem: %w", err))
	}
	return nil
}

func configure(fs int, fstype string, params []Param) error {
	for _, p := range params {
		var err error
		if p.Flag {
			err = unix.FsconfigSetFlag(fs, p.Key)
		} else {
			err = unix.FsconfigSetString(fs, p.Key, p.Value)
		}
		if err != nil {
			return explain(fs, fmt.Errorf("set %s %s=%s: %w", fstype, p.Key, p.Value, err))
		}
	}
	return nil
}

// explain adds what the kernel wrote into the filesystem context's log.
func explain(fs int, err error) error {
	var buf [512]byte
	for {
		n, readErr := unix.Read(fs, buf[:])
		if readErr != nil || n <= 0 {
			return err
		}
		if line, ok := strings.CutPrefix(string(buf[:n]), "e "); ok {
			err = fmt.Errorf("%w (%s)", err, strings.TrimSpace(line))
		}
	}
}

// SetPropagation changes the propagation of the caller's whole tree of mounts.
func SetPropagation(flag uintptr) error {
	return unix.Mount("", "/", "", flag|unix.MS_REC, "")
}

// maxStack is more than anybody puts on a root.
const maxStack = 16

// PivotTo makes the attached mount root the root of the caller's mount
// namespace and takes the old one away.
func PivotTo(root int) error {
	old, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(old)
	if err := unix.Fchdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	// The old root lies on the new one now; what is unmounted must not be
	// unmounted on the host.
	if err := unix.Fchdir(old); err != nil {
		return err
	}
	if err := unix.Mount("", ".", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make old root a slave: %w", err)
	}
	if err := unmountStack(); err != nil {
		return fmt.Errorf("unmount old root: %w", err)
	}
	return unix.Chdir("/")
}

// unmountStack unmounts the mount that the working directory is the root of and
// all that lie on it. The kernel takes the topmost each time; whoever enters the
// namespace later would land on one that is left.
func unmountStack() error {
	for range maxStack {
		err := unix.Unmount(".", unix.MNT_DETACH)
		if err == unix.EINVAL {
			return nil // it is in no namespace any more
		}
		if err != nil {
			return err
		}
	}
	return unix.EBUSY
}

// ReadOnlyFile opens an executable so that nobody who reaches it by
// /proc/PID/exe can write it: by a read-only mount of its own, or as a sealed
// copy in memory where the kernel has no such mounts.
func ReadOnlyFile(path string) (*os.File, error) {
	fd, err := Clone(path, false)
	if err == nil {
		if err = SetAttr(fd, Attr{Set: unix.MOUNT_ATTR_RDONLY}, false); err == nil {
			return os.NewFile(uintptr(fd), path), nil
		}
		unix.Close(fd)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return sealedCopy(path)
}

// ReadOnlyNull is a detached mount of the null device whose owner and mode
// nobody can change: the node is the host's own.
func ReadOnlyNull() (int, error) {
	fd, err := Clone("/dev/null", false)
	if err != nil {
		return -1, err
	}
	if err := SetAttr(fd, Attr{Set: unix.MOUNT_ATTR_RDONLY}, false); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func sealedCopy(path string) (*os.File, error) {
	src, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	fd, err := unix.MemfdCreate(path, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(path, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("copy %s into memory: %w", path, err)
	}
	dst := os.NewFile(uintptr(fd), path)
	defer dst.Close()
	if _, err := dst.ReadFrom(src); err != nil {
		return nil, fmt.Errorf("copy %s into memory: %w", path, err)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("seal the copy of %s: %w", path, err)
	}
	// A file that is open for writing cannot be executed.
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// retry calls f again when a signal interrupted it.
func retry[T any](f func() (T, error)) (T, error) {
	for {
		v, err := f()
		if err != unix.EINTR {
			return v, err
		}
	}
}
