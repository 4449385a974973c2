package command

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/sockpath"
)

// handover is what create, run and exec give to others of a new process, and to
// it of the caller's.
type handover struct {
	console, pidfd, pidFile *string
	preserve                *int
}

func newHandover(flags *flag.FlagSet) handover {
	return handover{
		console:  stringFlag(flags, "console-socket", "", "", "unix socket that gets the terminal's master"),
		pidfd:    stringFlag(flags, "pidfd-socket", "", "", "unix socket that gets a pidfd of the process"),
		pidFile:  stringFlag(flags, "pid-file", "", "", "file for the process ID"),
		preserve: flags.Int("preserve-fds", 0, "give the process as many descriptors of the caller, from 3 on"),
	}
}

// check refuses a terminal that nobody would hold, and a socket for none.
func (h handover) check(terminal, detach bool) error {
	if terminal && detach && *h.console == "" {
		return errors.New("cannot allocate tty if runc will detach without setting console socket; give --console-socket")
	}
	if !terminal && *h.console != "" {
		return fmt.Errorf("cannot use console socket if runc will not detach or allocate tty: --console-socket %s, but process.terminal is false", *h.console)
	}
	return nil
}

// files are the descriptors of --preserve-fds and those that a service manager
// passed, and how many these are.
func (h handover) files() (files []*os.File, listen int, err error) {
	if v := os.Getenv("LISTEN_FDS"); v != "" {
		if listen, err = strconv.Atoi(v); err != nil || listen < 0 {
			return nil, 0, fmt.Errorf("the environment's LISTEN_FDS is %q, not a number", v)
		}
	}
	if *h.preserve < 0 {
		return nil, 0, fmt.Errorf("--preserve-fds %d is less than zero", *h.preserve)
	}
	for fd := 3; fd < 3+listen+*h.preserve; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return nil, 0, fmt.Errorf("--preserve-fds %d: descriptor %d is not open: %w", *h.preserve, fd, err)
		}
		files = append(files, os.NewFile(uintptr(fd), "preserved"))
	}
	return files, listen, nil
}

// note gets ready for give what can be before the process is.
func (h handover) note(pid int) error { return pidFile(*h.pidFile).write(pid) }

// forget takes back what note did.
func (h handover) forget() error { return pidFile(*h.pidFile).forget() }

// give tells of the process that was noted. The master is nobody's then but the receiver's.
func (h handover) give(pidfd, console *os.File) error {
	if *h.console != "" && console != nil {
		if err := send(*h.console, "/dev/ptmx", console); err != nil {
			return fmt.Errorf("send the terminal to --console-socket %s: %w", *h.console, err)
		}
	}
	if *h.pidfd != "" {
		if err := send(*h.pidfd, "pidfd", pidfd); err != nil {
			return fmt.Errorf("send the pidfd to --pidfd-socket %s: %w", *h.pidfd, err)
		}
	}
	return pidFile(*h.pidFile).show()
}

// send hands a descriptor to the socket's listener. It expects a blocking one.
func send(socket, name string, f *os.File) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := sockpath.With(socket, func(a *unix.SockaddrUnix) error { return unix.Connect(fd, a) }); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(n uintptr) {
		if name == "/dev/ptmx" {
			failed = unix.SetNonblock(int(n), false)
		}
		if failed == nil {
			failed = unix.Sendmsg(fd, []byte(name), unix.UnixRights(int(n)), nil, 0)
		}
	})
	return errors.Join(err, failed)
}
