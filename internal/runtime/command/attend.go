package command

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/berth-containers/berth/internal/sys/pidfd"
)

// attend forwards signals and the terminal to a process until it ends, and
// returns its exit code.
func attend(pid int, process, console *os.File) (int, error) {
	if console != nil {
		restore := relay(console)
		defer restore()
	}
	go forward(pid, process, console) // until we end
	if err := pidfd.WaitExit(process); err != nil {
		return 1, err
	}
	return code(pid)
}

// soon is when the signals are taken that would not end us.
const soon = 20 * time.Millisecond

// forward takes first the signals that would end us: to take one, or to give it
// back, costs four switches of threads, for all of them a millisecond, which is
// a fifth of a short run.
func forward(pid int, process, console *os.File) {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	all := time.After(soon)
	for {
		select {
		case <-all:
			signal.Notify(signals)
			reapOrphans(pid) // those of before
		case sig := <-signals:
			pass(sig, pid, process, console)
		}
	}
}

func pass(sig os.Signal, pid int, process, console *os.File) {
	switch sig {
	case syscall.SIGURG, syscall.SIGPIPE:
	case syscall.SIGCHLD:
		reapOrphans(pid)
	case syscall.SIGWINCH:
		if console != nil {
			resize(console)
		}
	default:
		// It may just have ended.
		_ = pidfd.Signal(process, sig.(syscall.Signal))
	}
}

// adopt makes us the parent of what the container's processes leave behind, which
// would be the machine's first process.
func adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of orphans: %w", err)
	}
	return nil
}

// reapOrphans waits for every child that ended but the one that attend does.
func reapOrphans(main int) {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		pid := childOf(&info)
		if err != nil || pid == 0 || pid == main {
			return
		}
		if _, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); err != nil {
			return
		}
	}
}

// childOf is si_pid, which x/sys does not name.
func childOf(info *unix.Siginfo) int {
	return int((*struct {
		signo, errno, code, pad int32
		pid                     int32
	})(unsafe.Pointer(info)).pid)
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
