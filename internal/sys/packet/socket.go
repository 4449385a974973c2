// Package packet serves many sockets of many network namespaces with few
// goroutines: sockets that are only descriptors, one poller for all of them, and
// datagrams read and written in batches. A socket stays in the namespace of the
// thread that opened it.
//
// Nothing here blocks but Poller.Wait, which sleeps in the runtime's poller.
package packet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket is a descriptor of a socket, which is not in the runtime's poller.
// Close waits for the calls that use it, all of which are short.
type Socket struct {
	mu sync.RWMutex
	fd int // -1: closed
}

// backlog is how many connections wait to be accepted.
const backlog = 128

// ListenUDP opens a datagram socket at an IPv4 address; port 0 is any.
func ListenUDP(at netip.AddrPort) (*Socket, error) { return listen(unix.SOCK_DGRAM, at) }

// ListenTCP opens a listening socket at an IPv4 address; port 0 is any.
func ListenTCP(at netip.AddrPort) (*Socket, error) { return listen(unix.SOCK_STREAM, at) }

func listen(kind int, at netip.AddrPort) (*Socket, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	s := &Socket{fd: fd}
	if kind == unix.SOCK_STREAM {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())})
	}
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("listen at %s: %w", at, err)
	}
	return s, nil
}

// Adopt takes over a file's descriptor: the file is closed.
func Adopt(f *os.File) (*Socket, error) {
	defer f.Close()
	s := &Socket{fd: -1}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		if s.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3); failed == nil {
			failed = unix.SetNonblock(s.fd, true)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		s.Close()
		return nil, fmt.Errorf("adopt socket: %w", err)
	}
	return s, nil
}

// Close closes the descriptor; a second time does nothing.
func (s *Socket) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd >= 0 {
		unix.Close(s.fd)
		s.fd = -1
	}
}

// do runs f with the descriptor held open.
func (s *Socket) do(f func(fd int) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.fd < 0 {
		return os.ErrClosed
	}
	return f(s.fd)
}

// Local is the address that the socket is bound to.
func (s *Socket) Local() (at netip.AddrPort, err error) {
	err = s.do(func(fd int) error {
		sa, err := unix.Getsockname(fd)
		if in, ok := sa.(*unix.SockaddrInet4); ok {
			at = netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port))
		}
		return err
	})
	return at, err
}

// NetNS is the network namespace of the socket.
func (s *Socket) NetNS() (ns *os.File, err error) {
	err = s.do(func(fd int) error {
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGSKNS, 0)
		if errno != 0 {
			return fmt.Errorf("find the network namespace of a socket: %w", errno)
		}
		ns = os.NewFile(n, "network namespace")
		return nil
	})
	return ns, err
}

// Accept takes a connection that waits; syscall.EAGAIN: none does.
func (s *Socket) Accept() (net.Conn, error) {
	var f *os.File
	err := s.do(func(fd int) error {
		n, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if err != nil {
			return err
		}
		f = os.NewFile(uintptr(n), "connection")
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileConn(f)
}

// Send sends one datagram and does not wait for room.
func (s *Socket) Send(b []byte, to netip.AddrPort) error {
	return s.do(func(fd int) error {
		return unix.Sendto(fd, b, unix.MSG_DONTWAIT, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	})
}

// SyscallConn lets the descriptor be passed on.
func (s *Socket) SyscallConn() (syscall.RawConn, error) { return raw{s}, nil }

type raw struct{ s *Socket }

func (r raw) Control(f func(fd uintptr)) error {
	return r.s.do(func(fd int) error { f(uintptr(fd)); return nil })
}

func (raw) Read(func(fd uintptr) bool) error  { return syscall.ENOTSUP }
func (raw) Write(func(fd uintptr) bool) error { return syscall.ENOTSUP }
