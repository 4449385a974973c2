// Package diskspace says how full the file system of a directory is.
package diskspace

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Space is that of one file system, in bytes.
type Space struct {
	Used int64
	Free int64 // for everybody, without what is reserved for root
}

// Percent is how full it is, as df shows it: from 0 to 100.
func (s Space) Percent() float64 {
	if s.Used+s.Free == 0 {
		return 0
	}
	return 100 * float64(s.Used) / float64(s.Used+s.Free)
}

// Of measures the file system that holds dir.
func Of(dir string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Space{}, fmt.Errorf("measure the file system of %s: %w", dir, err)
	}
	block := int64(st.Frsize)
	return Space{Used: int64(st.Blocks-st.Bfree) * block, Free: int64(st.Bavail) * block}, nil
}
