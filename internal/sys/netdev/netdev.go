// Package netdev moves a network device into another network namespace: with its
// lasting global addresses, which the kernel takes away from a device that moves.
// Routes are not kept.
//
// A crash in between leaves the device where it is: in the other namespace, perhaps
// without its addresses. Hardware comes back to the host's namespace when the other
// one ends; a virtual device ends with it.
package netdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/netns"
)

// Move takes the device name out of from, into to, and returns what it is called
// there: newName, which may have one %d, for the first number that is free. It is up
// then. After an error that comes with a name the device has moved all the same.
func Move(from *os.File, name string, to *os.File, newName string) (inside string, err error) {
	if strings.Contains(newName, "%d") {
		err := netns.Do(to, func() (err error) {
			newName, err = vacant(newName)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	var addresses [][]byte
	lost := false
	err = netns.Do(from, func() error {
		s, err := dial()
		if err != nil {
			return err
		}
		defer unix.Close(s.fd)
		index, err := s.index(name)
		if err != nil {
			return err
		}
		if addresses, err = s.addresses(index); err != nil {
			return fmt.Errorf("read the addresses of %s: %w", name, err)
		}
		if err := s.move(index, to, newName); err != nil {
			_, gone := s.index(name)
			lost = errors.Is(gone, unix.ENODEV)
			return fmt.Errorf("move %s: %w", name, err)
		}
		return nil
	})
	switch {
	case lost:
		return "", errors.Join(fmt.Errorf("name it %s: %w", newName, err), giveBack(to, from, name, addresses))
	case err != nil:
		return "", err
	}
	return newName, netns.Do(to, func() error { return settle(newName, addresses) })
}

// giveBack is for a device that the kernel has moved before it refused the new name.
func giveBack(from, to *os.File, name string, addresses [][]byte) error {
	err := netns.Do(from, func() error {
		s, err := dial()
		if err != nil {
			return err
		}
		defer unix.Close(s.fd)
		index, err := s.index(name)
		if err != nil {
			return err
		}
		return s.move(index, to, name)
	})
	if err == nil {
		err = netns.Do(to, func() error { return settle(name, addresses) })
	}
	if err != nil {
		return fmt.Errorf("give %s back: %w", name, err)
	}
	return nil
}

// vacant puts the first number into pattern that makes an unused name.
func vacant(pattern string) (string, error) {
	s, err := dial()
	if err != nil {
		return "", err
	}
	defer unix.Close(s.fd)
	for n := range maxNumber {
		name := strings.Replace(pattern, "%d", strconv.Itoa(n), 1)
		_, err := s.index(name)
		if errors.Is(err, unix.ENODEV) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("name it %s: all of %d names are in use", pattern, maxNumber)
}

// maxNumber is that of the kernel's own choice of a name.
const maxNumber = 32768

func (s socket) move(index int, to *os.File, name string) error {
	link := attribute(linkMessage(index, false), unix.IFLA_IFNAME, append([]byte(name), 0))
	link = attribute(link, unix.IFLA_NET_NS_FD, binary.NativeEndian.AppendUint32(nil, uint32(to.Fd())))
	return s.change(unix.RTM_NEWLINK, 0, link)
}

// settle gives a device its addresses and brings it up.
func settle(name string, addresses [][]byte) error {
	s, err := dial()
	if err != nil {
		return err
	}
	defer unix.Close(s.fd)
	index, err := s.index(name)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		binary.NativeEndian.PutUint32(a[4:], uint32(index))
		if err := s.change(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, a); err != nil {
			return fmt.Errorf("give %s its address: %w", name, err)
		}
	}
	if err := s.change(unix.RTM_NEWLINK, 0, linkMessage(index, true)); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

type socket struct{ fd int }

func dial() (socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return socket{}, fmt.Errorf("open route netlink: %w", err)
	}
	return socket{fd}, nil
}

func (s socket) index(name string) (int, error) {
	req, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(s.fd, unix.SIOCGIFINDEX, req)
	}
	if err != nil {
		return 0, fmt.Errorf("find %s: %w", name, err)
	}
	return int(req.Uint32()), nil
}

// linkMessage is a struct ifinfomsg.
func linkMessage(index int, up bool) []byte {
	m := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(m[4:], uint32(index))
	if up {
		binary.NativeEndian.PutUint32(m[8:], unix.IFF_UP)
		binary.NativeEndian.PutUint32(m[12:], unix.IFF_UP)
	}
	return m
}

func attribute(m []byte, kind uint16, value []byte) []byte {
	m = binary.NativeEndian.AppendUint16(m, uint16(unix.SizeofRtAttr+len(value)))
	m = append(binary.NativeEndian.AppendUint16(m, kind), value...)
	return append(m, make([]byte, -len(m)&(unix.RTA_ALIGNTO-1))...)
}

// change sends one message and waits for its acknowledgement.
func (s socket) change(kind, flags uint16, body []byte) error {
	if err := s.send(kind, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK, body); err != nil {
		return err
	}
	_, err := s.receive()
	return err
}

func (s socket) send(kind, flags uint16, body []byte) error {
	m := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = binary.NativeEndian.AppendUint16(m, flags)
	m = append(append(m, make([]byte, 8)...), body...)
	return unix.Sendto(s.fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// receive returns the messages up to the acknowledgement or the end of a dump.
func (s socket) receive() (list []syscall.NetlinkMessage, err error) {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(s.fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		messages, err := syscall.ParseNetlinkMessage(append([]byte(nil), buf[:n]...))
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			switch {
			case m.Header.Type == unix.NLMSG_DONE:
				return list, nil
			case m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4:
				if errno := -int32(binary.NativeEndian.Uint32(m.Data)); errno != 0 {
					return nil, unix.Errno(errno)
				}
				return list, nil
			}
			list = append(list, m)
		}
	}
}

// addresses are requests that give a device the addresses it has: those that
// somebody gave it for good and that are not of the link only.
func (s socket) addresses(index int) (list [][]byte, err error) {
	if err := s.send(unix.RTM_GETADDR, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg)); err != nil {
		return nil, err
	}
	messages, err := s.receive()
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if a := keep(m, index); a != nil {
			list = append(list, a)
		}
	}
	return list, nil
}

// keep is m as a request; nil if it is of another device or not kept.
func keep(m syscall.NetlinkMessage, index int) []byte {
	if m.Header.Type != unix.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg || binary.NativeEndian.Uint32(m.Data[4:]) != uint32(index) {
		return nil
	}
	flags, scope := uint32(m.Data[2]), m.Data[3]
	attrs, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil || scope != unix.RT_SCOPE_UNIVERSE {
		return nil
	}
	request := append([]byte(nil), m.Data[:unix.SizeofIfAddrmsg]...)
	request[2] = 0
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.IFA_FLAGS:
			if len(a.Value) == 4 {
				flags = binary.NativeEndian.Uint32(a.Value)
			}
		case unix.IFA_LOCAL, unix.IFA_ADDRESS, unix.IFA_BROADCAST:
			request = attribute(request, a.Attr.Type, a.Value)
		}
	}
	if flags&unix.IFA_F_PERMANENT == 0 {
		return nil
	}
	return request
}
