// Package filelock keeps two processes from owning the same directory. The lock
// goes with the process, however that ends.
package filelock

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Take locks path, made if need be, without waiting: unix.EWOULDBLOCK
// (syscall.EAGAIN) if another process has it. Closing the file unlocks it.
func Take(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
