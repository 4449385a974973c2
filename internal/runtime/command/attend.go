package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/berth-containers/berth/internal/sys/pidfd"
)

// sendConsole hands a terminal's master to the socket's listener.
func sendConsole(socket string, master *os.File) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		return fmt.Errorf("connect to the console socket %s: %w", socket, err)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(console uintptr) {
		// Its receiver expects a terminal in blocking mode.
		if failed = unix.SetNonblock(int(console), false); failed == nil {
			failed = unix.Sendmsg(fd, []byte("/dev/ptmx"), unix.UnixRights(int(console)), nil, 0)
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("send the terminal to the console socket %s: %w", socket, err)
	}
	return nil
}

// attend forwards signals and the terminal to a process until it ends, and
// returns its exit code.
func attend(pid int, process, console *os.File) (int, error) {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	defer signal.Stop(signals)
	if console != nil {
		restore := relay(console)
		defer restore()
	}
	ended := make(chan error, 1)
	go func() { ended <- pidfd.WaitExit(process) }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return 1, err
			}
			return code(pid)
		case sig := <-signals:
			switch sig {
			case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE:
			case syscall.SIGWINCH:
				if console != nil {
					resize(console)
				}
			default:
				// It may just have ended.
				_ = pidfd.Signal(process, sig.(syscall.Signal))
			}
		}
	}
}

func code(pid int) (int, error) {
	status, _, err := pidfd.Reap(pid)
	if err != nil {
		return 1, err
	}
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// relay joins our stdio to the terminal; what it returns takes that back after
// the last output.
func relay(console *os.File) (restore func()) {
	resize(console)
	old, rawErr := term.MakeRaw(0)
	go io.Copy(console, os.Stdin)
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(os.Stdout, console)
	}()
	return func() {
		<-done
		if rawErr == nil {
			_ = term.Restore(0, old)
		}
		console.Close()
	}
}

func resize(console *os.File) {
	ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
	if err != nil {
		return // we have no terminal ourselves
	}
	conn, err := console.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) { _ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, ws) })
}
