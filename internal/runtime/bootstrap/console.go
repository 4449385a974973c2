package bootstrap

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/mount"
)

// console makes a pseudo-terminal of the container's own devpts the controlling
// terminal and stdio, and hands its master to the runtime.
func (s *starter) console() error {
	if !s.config.Process.Terminal {
		ownNull()
		return nil
	}
	master, err := openMaster()
	if err != nil {
		return fmt.Errorf("open a terminal of the container's /dev/pts: %w", err)
	}
	defer unix.Close(master)
	slave, err := openSlave(master)
	if err != nil {
		return fmt.Errorf("open the terminal's other end: %w", err)
	}
	defer unix.Close(slave)
	if size := s.config.Process.ConsoleSize; size != nil && (size.Height != 0 || size.Width != 0) {
		ws := unix.Winsize{Row: uint16(size.Height), Col: uint16(size.Width)}
		if err := unix.IoctlSetWinsize(slave, unix.TIOCSWINSZ, &ws); err != nil {
			return fmt.Errorf("set the terminal's size: %w", err)
		}
	}
	if !s.config.Exec {
		if err := bindConsole(slave); err != nil {
			return fmt.Errorf("mount /dev/console: %w", err)
		}
	}
	for fd := range 3 {
		if err := unix.Dup3(slave, fd, 0); err != nil {
			return fmt.Errorf("make the terminal descriptor %d: %w", fd, err)
		}
	}
	if err := unix.IoctlSetInt(0, unix.TIOCSCTTY, 0); err != nil {
		return fmt.Errorf("make the terminal the controlling one: %w", err)
	}
	rights := unix.UnixRights(master)
	if err := unix.Sendmsg(int(s.conn), wire.Header(wire.Console, 0), rights, nil, 0); err != nil {
		return fmt.Errorf("hand over the terminal: %w", err)
	}
	return nil
}

// ownNull puts the container's null device in place of the runtime's, which no
// path in the container leads to. Without one it stays: it is harmless.
func ownNull() {
	own := -1
	for fd := range 3 {
		if !isNull(fd) {
			continue
		}
		if own < 0 {
			if own = openNull(); own < 0 {
				return
			}
			defer unix.Close(own)
		}
		_ = unix.Dup3(own, fd, 0) // both are open
	}
}

func openNull() int {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	defer unix.Close(root)
	fd, err := mount.OpenIn(root, "/dev/null", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return -1
	}
	if !isNull(fd) {
		unix.Close(fd)
		return -1
	}
	return fd
}

func isNull(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

func openMaster() (int, error) {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	fd, err := mount.OpenIn(root, "/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return -1, err
	}
	var fs unix.Statfs_t
	if err = unix.Fstatfs(fd, &fs); err == nil && fs.Type != unix.DEVPTS_SUPER_MAGIC {
		err = errors.New("/dev/pts is not a devpts; the container needs one for a terminal")
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func openSlave(master int) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, err
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

func bindConsole(slave int) error {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	fd, err := mount.CloneAt(slave, "", false)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// A link could lead over what is masked, or what is written in /proc later.
	target, err := mount.CreatePlain(root, "/dev/console")
	if errors.Is(err, unix.ELOOP) {
		return errors.New("it is a symbolic link: take it out of the image")
	}
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return mount.Attach(fd, target)
}
