// Package tty sizes terminals.
package tty

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Resize sets the size of the terminal whose master or slave f is.
func Resize(f *os.File, width, height uint16) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width})
	})
	return errors.Join(err, failed)
}
