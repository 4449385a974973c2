// Package fifo makes and opens named pipes and moves bytes out of them in ways
// that survive the death of the reader.
//
// The files that a program gets are in blocking mode; those that we keep are
// non-blocking and wait in the runtime's poller, not in a thread.
package fifo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Make makes a named pipe that any user may open by way of /dev/stdout; the
// directory it is in must keep strangers out.
func Make(path string) error {
	if err := unix.Mkfifo(path, 0o666); err != nil {
		return fmt.Errorf("make pipe %s: %w", path, err)
	}
	return os.Chmod(path, 0o666)
}

// OpenForProgram opens the pipe for a program's output. It is the program's
// own reader too, so the program never gets SIGPIPE and the pipe keeps its
// bytes while nobody else has it open.
func OpenForProgram(path string) (*os.File, error) {
	return open(path, unix.O_RDWR)
}

// OpenReader opens the pipe for reading, without a wait.
func OpenReader(path string) (*os.File, error) {
	return open(path, unix.O_RDONLY|unix.O_NONBLOCK)
}

// OpenWriter opens the pipe for writing; syscall.ENXIO if nobody reads.
func OpenWriter(path string) (*os.File, error) {
	return open(path, unix.O_WRONLY|unix.O_NONBLOCK)
}

// OpenInput opens a pipe for a program's input and our writing end.
func OpenInput(path string) (program, ours *os.File, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open pipe %s: %w", path, err)
	}
	ours, err = OpenWriter(path)
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		unix.Close(fd)
		if ours != nil {
			ours.Close()
		}
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd), path), ours, nil
}

func open(path string, flags int) (*os.File, error) {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open pipe %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Pollable returns another descriptor of f's open file, made non-blocking, that
// waits in the poller.
func Pollable(f *os.File) (*os.File, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var failed error
	err = conn.Control(func(old uintptr) {
		if fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3); failed == nil {
			failed = unix.SetNonblock(fd, true)
		}
	})
	if err = errors.Join(err, failed); err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("make %s non-blocking: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// Move takes what is in the pipe, at most max bytes, into file at offset. The
// kernel takes bytes out of the pipe as it writes them: a killed caller leaves
// each byte in exactly one of both. io.EOF: no writer and nothing left;
// syscall.EAGAIN: nothing there now.
func Move(pipe int, file *os.File, offset int64, max int) (int, error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int64
	var failed error
	err = conn.Control(func(fd uintptr) {
		for {
			at := offset
			n, failed = unix.Splice(pipe, nil, int(fd), &at, max, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
			if failed != unix.EINTR {
				return
			}
		}
	})
	return count(int(n), errors.Join(err, failed))
}

// Read reads what is there from a non-blocking descriptor; errors as Move's. A
// terminal whose last user is gone is io.EOF.
func Read(fd int, p []byte) (int, error) {
	for {
		n, err := unix.Read(fd, p)
		if err != unix.EINTR {
			if err == unix.EIO {
				return 0, io.EOF
			}
			return count(n, err)
		}
	}
}

func count(n int, err error) (int, error) {
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return 0, syscall.EAGAIN
	case err != nil:
		return 0, err
	case n <= 0:
		return 0, io.EOF
	}
	return n, nil
}

// Forget frees the whole pages of file below offset; its size stays.
func Forget(file *os.File, from, offset int64) error {
	const page = 4096
	from, offset = from/page*page, offset/page*page
	if offset <= from {
		return nil
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		failed = unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, offset-from)
	})
	return errors.Join(err, failed)
}
