// Package pidfd refers to processes by descriptor, so that a signal or a wait
// can never hit another process that got the same number later.
//
// A pidfd that was open before its process ended tells the exit status even
// after somebody else reaped it (Linux 6.15; see Status).
package pidfd

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNotChild is returned by Reap for a process that another one must wait for.
var ErrNotChild = errors.New("not a child of this process")

// Open returns a pidfd of the running process pid, ready for Wait.
func Open(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open pidfd of process %d: %w", pid, err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// Signal sends sig. A process that has ended is syscall.ESRCH.
func Signal(f *os.File, sig syscall.Signal) error {
	return control(f, func(fd int) error {
		return unix.PidfdSendSignal(fd, sig, nil, 0)
	})
}

// WaitExit returns when the process has ended. It blocks no thread; closing f ends
// it with os.ErrClosed.
func WaitExit(f *os.File) error { return wait(f, unix.POLLIN) }

// WaitReaped returns when the process has ended and its parent has reaped it, which
// Linux tells since 6.9 only.
func WaitReaped(f *os.File) error { return wait(f, unix.POLLHUP) }

// Reap takes the exit status of pid if it is a child that has ended; ok is
// whether it had ended.
func Reap(pid int) (status syscall.WaitStatus, ok bool, err error) {
	for {
		n, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		switch {
		case err == syscall.EINTR:
		case err == syscall.ECHILD:
			return 0, false, ErrNotChild
		case err != nil:
			return 0, false, fmt.Errorf("wait for process %d: %w", pid, err)
		default:
			return status, n == pid, nil
		}
	}
}

// Status is the exit status of a process that was reaped by anybody. ok is
// false if the kernel (before 6.15) or the time (not yet reaped) cannot tell.
func Status(f *os.File) (status syscall.WaitStatus, ok bool, err error) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	err = control(f, func(fd int) error { return unix.IoctlPidfdInfo(fd, &info) })
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EINVAL):
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("ask pidfd for the exit status: %w", err)
	}
	return syscall.WaitStatus(info.Exit_code), info.Mask&unix.PIDFD_INFO_EXIT != 0, nil
}

func wait(f *os.File, event int16) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Read(func(fd uintptr) bool {
		done, err := poll(int(fd), event)
		failed = err
		return done || err != nil
	})
	return errors.Join(err, failed)
}

func poll(fd int, event int16) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: event}}
	for {
		_, err := unix.Poll(fds, 0)
		if err == unix.EINTR {
			continue
		}
		return fds[0].Revents&event != 0, err
	}
}

func control(f *os.File, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = call(int(fd)) }); err != nil {
		return err
	}
	return failed
}
