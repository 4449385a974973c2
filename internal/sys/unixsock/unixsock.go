// Package unixsock does with unix sockets what package net does not: it tells
// who is at the other end, notices that it went away, and passes descriptors.
package unixsock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// PeerUID is the user of the process that connected.
func PeerUID(c *net.UnixConn) (uint32, error) {
	var cred *unix.Ucred
	err := control(c, func(fd int) (err error) {
		cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ask for the peer's credentials: %w", err)
	}
	return cred.Uid, nil
}

// WaitHangup returns nil when the peer has closed its socket; a half-close does
// not count. The connection's read deadline applies. Nothing is read.
func WaitHangup(c *net.UnixConn) error {
	conn, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		_, err := unix.Poll(fds, 0)
		return err == nil && fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
}

// FD is a received descriptor that is only kept or passed on: unlike an os.File
// it does not wake the poller of its holder.
type FD struct{ fd int }

// File gives the descriptor to a file.
func (d FD) File() *os.File { return os.NewFile(uintptr(d.fd), "received") }

// Dup returns a file of the same open file.
func (d FD) Dup() (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(d.fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "received"), nil
}

// Close closes the descriptor.
func (d FD) Close() error { return unix.Close(d.fd) }

// SyscallConn lets Send pass the descriptor on.
func (d FD) SyscallConn() (syscall.RawConn, error) { return d, nil }

// Control calls f with the descriptor.
func (d FD) Control(f func(fd uintptr)) error { f(uintptr(d.fd)); return nil }

// Read is not for an FD.
func (d FD) Read(func(fd uintptr) bool) error { return syscall.ENOTSUP }

// Write is not for an FD.
func (d FD) Write(func(fd uintptr) bool) error { return syscall.ENOTSUP }

// Send writes p, and with its first byte the descriptor of file.
func Send(c *net.UnixConn, p []byte, file syscall.Conn) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		var n int
		if n, _, failed = c.WriteMsgUnix(p, unix.UnixRights(int(fd)), nil); failed == nil && n < len(p) {
			_, failed = c.Write(p[n:])
		}
	})
	return errors.Join(err, failed)
}

// Receive reads at most len(p) bytes and the descriptors that came with them.
func Receive(c *net.UnixConn, p []byte) (int, []FD, error) {
	oob := make([]byte, unix.CmsgSpace(4*4))
	n, oobn, flags, _, err := c.ReadMsgUnix(p, oob)
	if err != nil {
		return 0, nil, err
	}
	files, err := rights(oob[:oobn])
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = errors.New("more descriptors came than were expected")
	}
	if err != nil {
		for _, f := range files {
			f.Close()
		}
		return n, nil, fmt.Errorf("receive descriptors: %w", err)
	}
	return n, files, nil
}

func rights(oob []byte) ([]FD, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []FD
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // other ancillary data
		}
		for _, fd := range fds {
			files = append(files, FD{fd})
		}
	}
	return files, nil
}

func control(c *net.UnixConn, call func(fd int) error) error {
	conn, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) { failed = call(int(fd)) })
	return errors.Join(err, failed)
}
