// Package dial opens connections inside other network namespaces. It leaves
// nothing behind.
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/netns"
)

// TCP opens a TCP connection inside ns. Only the socket is made on a thread
// there; the wait for the peer takes none.
func TCP(ctx context.Context, ns *os.File, to netip.AddrPort) (net.Conn, error) {
	var f *os.File
	err := netns.Do(ns, func() (err error) {
		f, err = socket(to)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	defer f.Close() // the connection has a descriptor of its own
	defer context.AfterFunc(ctx, func() { _ = f.SetDeadline(time.Unix(1, 0)) })()
	if err := connect(f, to); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("dial tcp %s: %w", to, err)
	}
	return net.FileConn(f)
}

func socket(to netip.AddrPort) (*os.File, error) {
	family := unix.AF_INET6
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

// connect waits by the runtime's poller.
func connect(f *os.File, to netip.AddrPort) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	begun := false
	waitErr := raw.Write(func(fd uintptr) bool {
		if !begun {
			begun = true
			err = unix.Connect(int(fd), address(to))
			return !errors.Is(err, unix.EINPROGRESS)
		}
		var code int
		if code, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err == nil && code != 0 {
			err = unix.Errno(code)
		}
		return true
	})
	return errors.Join(err, waitErr)
}

func address(to netip.AddrPort) unix.Sockaddr {
	if to.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
}
