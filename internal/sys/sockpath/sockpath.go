// Package sockpath addresses unix sockets by paths of any length: the kernel takes
// 107 bytes. It keeps nothing.
package sockpath

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// longest is what a sockaddr_un holds beside the zero at the end.
const longest = 107

// With calls do with an address of the socket at path, which is good for that
// call only.
func With(path string, do func(*unix.SockaddrUnix) error) error {
	if len(path) <= longest {
		return do(&unix.SockaddrUnix{Name: path})
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return do(&unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir, filepath.Base(path))})
}
