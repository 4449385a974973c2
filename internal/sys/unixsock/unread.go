package unixsock

import (
	"net"

	"golang.org/x/sys/unix"
)

// Unread is 0 when the peer has read everything that was written; else it is
// the memory, in bytes, that the kernel keeps for the rest.
func Unread(c *net.UnixConn) (bytes int, err error) {
	err = control(c, func(fd int) (err error) {
		bytes, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		return err
	})
	return bytes, err
}
