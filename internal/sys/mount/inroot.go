package mount

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many dangling links Mkdir and Create follow.
const maxLinks = 40

// OpenIn opens name below the directory root. Links, absolute or not, and ".."
// stay below root.
func OpenIn(root int, name string, flags uint64, mode uint64) (int, error) {
	return openIn(root, name, flags, mode, 0)
}

func openIn(root int, name string, flags, mode, resolve uint64) (int, error) {
	name = strings.TrimLeft(name, "/")
	if name == "" {
		name = "."
	}
	return openAt(root, name, unix.OpenHow{Flags: flags, Mode: mode, Resolve: unix.RESOLVE_IN_ROOT | resolve})
}

func openAt(root int, name string, how unix.OpenHow) (int, error) {
	how.Flags |= unix.O_CLOEXEC
	how.Resolve |= unix.RESOLVE_NO_MAGICLINKS
	return retry(func() (int, error) {
		fd, err := unix.Openat2(root, name, &how)
		if err == unix.EAGAIN { // a rename somewhere made ".." uncertain
			err = unix.EINTR
		}
		return fd, err
	})
}

// OpenBeneath opens name below the directory root as an O_PATH descriptor. A link
// that leads out of root, as every absolute one does, is EXDEV.
func OpenBeneath(root int, name string) (int, error) {
	return openAt(root, name, unix.OpenHow{Flags: unix.O_PATH, Resolve: unix.RESOLVE_BENEATH})
}

// Mkdir makes the directory name and those above it below root, unless they
// are there, and returns it as an O_PATH descriptor.
func Mkdir(root int, name string) (int, error) {
	return ensurer{root: root}.ensure(name, 0, mkdirAt)
}

// MkdirPlain is Mkdir for a name that must not lead over a link: ELOOP if it
// does.
func MkdirPlain(root int, name string) (int, error) {
	return ensurer{root: root, resolve: unix.RESOLVE_NO_SYMLINKS}.ensure(name, 0, mkdirAt)
}

// Create makes an empty file at name, unless something is there, and the
// directories above it, and returns it as an O_PATH descriptor.
func Create(root int, name string) (int, error) {
	return ensurer{root: root}.ensure(name, 0, mknodAt)
}

// CreatePlain is Create for a name that must not lead over a link.
func CreatePlain(root int, name string) (int, error) {
	return ensurer{root: root, resolve: unix.RESOLVE_NO_SYMLINKS}.ensure(name, 0, mknodAt)
}

// Parent opens the directory that name is in, made if need be, and returns the
// last element of name.
func Parent(root int, name string) (int, string, error) {
	name = path.Clean("/" + name)
	dir, base := path.Split(name)
	if base == "" {
		return -1, "", fmt.Errorf("%s has no parent: %w", name, unix.EINVAL)
	}
	fd, err := Mkdir(root, dir)
	return fd, base, err
}

// ensurer makes what is missing below root, resolving names with the flags.
type ensurer struct {
	root    int
	resolve uint64
}

func (e ensurer) ensure(name string, links int, makeAt func(parent int, base string) error) (int, error) {
	name = path.Clean("/" + name)
	fd, err := openIn(e.root, name, unix.O_PATH, 0, e.resolve)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	if links > maxLinks {
		return -1, unix.ELOOP
	}
	dir, base := path.Split(name)
	parent, err := e.ensure(dir, links, mkdirAt)
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	err = makeAt(parent, base)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, fmt.Errorf("create %s: %w", name, err)
	}
	if err != nil {
		// It is a link to nothing: make what it names, below root.
		if target, linkErr := readlinkAt(parent, base); linkErr == nil {
			if !path.IsAbs(target) {
				target = path.Join(dir, target)
			}
			return e.ensure(target, links+1, makeAt)
		}
	}
	return openIn(e.root, name, unix.O_PATH, 0, e.resolve)
}

func mknodAt(parent int, base string) error {
	return unix.Mknodat(parent, base, unix.S_IFREG|0o755, 0)
}

func mkdirAt(parent int, base string) error { return unix.Mkdirat(parent, base, 0o755) }

func readlinkAt(dir int, base string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, base, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// IsDir is whether the open file is a directory.
func IsDir(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}
