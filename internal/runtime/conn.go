package runtime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/sockpath"
)

// conn is a stream socket in the poller. Package net would be a fifth of the
// start-up of berth-runtime.
type conn struct{ *os.File }

func newConn(fd int) (conn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return conn{}, err
	}
	return conn{os.NewFile(uintptr(fd), "socket")}, nil
}

// socketpair returns our end and the init's, which blocks.
func socketpair() (ours conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return conn{}, nil, fmt.Errorf("make socket pair: %w", err)
	}
	if ours, err = newConn(fds[0]); err != nil {
		unix.Close(fds[1])
		return conn{}, nil, fmt.Errorf("make socket pair: %w", err)
	}
	return ours, os.NewFile(uintptr(fds[1]), "init"), nil
}

// dial connects to a listening unix socket. It does not wait: with another
// client in its backlog that is unix.EAGAIN.
func dial(path string) (conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return conn{}, err
	}
	if err := sockpath.With(path, func(a *unix.SockaddrUnix) error { return unix.Connect(fd, a) }); err != nil {
		unix.Close(fd)
		return conn{}, err
	}
	return newConn(fd)
}

// readMessage reads what has come, with the control messages beside it; io.EOF
// is the end.
func (c conn) readMessage(p, oob []byte) (n, oobn int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, _, _, failed = unix.Recvmsg(int(fd), p, oob, unix.MSG_CMSG_CLOEXEC)
			if failed != unix.EINTR {
				return failed != unix.EAGAIN
			}
		}
	})
	switch {
	case err != nil:
		return 0, 0, err
	case failed != nil:
		return 0, 0, failed
	case n == 0:
		return 0, 0, io.EOF
	}
	return n, oobn, nil
}

// sendFiles writes p, a few bytes, with the descriptors of files beside them.
func (c conn) sendFiles(p []byte, files []*os.File) error {
	if len(files) == 0 {
		_, err := c.Write(p)
		return err
	}
	var fds []int
	for _, f := range files {
		fds = append(fds, int(rawFd(f)))
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		failed = unix.Sendmsg(int(fd), p, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
		return failed != unix.EAGAIN
	})
	runtime.KeepAlive(files)
	return errors.Join(err, failed)
}
