// Package rtnl sends several changes of links, addresses and routes to the
// kernel in one datagram. The kernel works them off in order and acknowledges
// each; one that fails does not stop the later ones.
package rtnl

import (
	"encoding/binary"
	"fmt"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Conn is a route netlink socket of the namespace it was made in.
type Conn struct {
	mu  sync.Mutex
	fd  int
	seq uint32
}

// Dial opens a Conn in the calling thread's network namespace; it stays there
// whichever thread uses it.
func Dial() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open route netlink: %w", err)
	}
	// Without the echo of the request an acknowledgement is 36 bytes.
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up route netlink: %w", err)
	}
	return &Conn{fd: fd}, nil
}

// Close ends the Conn.
func (c *Conn) Close() error { return unix.Close(c.fd) }

// Index is the number of a link.
func (c *Conn) Index(link string) (int, error) {
	req, err := unix.NewIfreq(link)
	if err != nil {
		return 0, fmt.Errorf("find link %s: %w", link, err)
	}
	if err := unix.IoctlIfreq(c.fd, unix.SIOCGIFINDEX, req); err != nil {
		return 0, fmt.Errorf("find link %s: %w", link, err)
	}
	return int(req.Uint32()), nil
}

// Do sends the changes and returns the first error, after all were tried.
func (c *Conn) Do(changes ...Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.seq + 1
	var datagram []byte
	for _, ch := range changes {
		c.seq++
		ch.req.Seq = c.seq
		datagram = append(datagram, ch.req.Serialize()...)
		for len(datagram)%unix.NLMSG_ALIGNTO != 0 {
			datagram = append(datagram, 0)
		}
	}
	if err := unix.Sendto(c.fd, datagram, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send to route netlink: %w", err)
	}
	return c.acks(changes, first)
}

func (c *Conn) acks(changes []Change, first uint32) error {
	var failed error
	buf := make([]byte, 16<<10)
	for left := len(changes); left > 0; {
		n, _, err := unix.Recvfrom(c.fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("read route netlink: %w", err)
		}
		msgs, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return fmt.Errorf("read route netlink: %w", err)
		}
		for _, m := range msgs {
			i := int(m.Header.Seq - first)
			if m.Header.Type != unix.NLMSG_ERROR || i < 0 || i >= len(changes) {
				continue // of an earlier batch whose reading broke off
			}
			left--
			errno := int32(binary.NativeEndian.Uint32(m.Data))
			if errno != 0 && failed == nil {
				failed = fmt.Errorf("%s: %w", changes[i].what, unix.Errno(-errno))
			}
		}
	}
	return failed
}
