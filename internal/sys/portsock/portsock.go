// Package portsock holds a port of the host so that no other program gets it.
// The socket takes part in bind's conflict check and in nothing else: what
// arrives at it is dropped. A crash gives the port back.
package portsock

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Reserve holds addr for proto ("tcp" or "udp"). A port in use is
// syscall.EADDRINUSE.
func Reserve(proto string, addr netip.AddrPort) (*os.File, error) {
	kind := unix.SOCK_STREAM
	if proto == "udp" {
		kind = unix.SOCK_DGRAM
	}
	family := unix.AF_INET6
	if addr.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s socket: %w", proto, err)
	}
	if err := hold(fd, kind, addr); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind %s port %s: %w", proto, addr, err)
	}
	return os.NewFile(uintptr(fd), proto+" "+addr.String()), nil
}

func hold(fd, kind int, addr netip.AddrPort) error {
	if err := dropAll(fd); err != nil {
		return err
	}
	if kind == unix.SOCK_STREAM {
		// Connections that linger in TIME_WAIT don't keep the port; another
		// listener does, since this socket listens as well.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
	}
	if err := bindTo(fd, addr); err != nil {
		return err
	}
	if kind == unix.SOCK_STREAM {
		return unix.Listen(fd, 0)
	}
	return nil
}

func bindTo(fd int, addr netip.AddrPort) error {
	if addr.Addr().Is4() {
		return unix.Bind(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()})
	}
	// The same port of IPv4 is held, or free, by itself.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
		return err
	}
	return unix.Bind(fd, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()})
}

func dropAll(fd int) error {
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: 1, Filter: &drop[0]})
}
