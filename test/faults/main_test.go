// Package faults kills Berth's processes at bad moments and looks at what is kept.
package faults

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// disk is a small file system of the lab's own.
var disk string

func TestMain(m *testing.M) { harness.Enter(func() int { return withDisk(m.Run) }) }

// withDisk mounts it before the first test looks at what is mounted; the mount
// goes with the lab.
func withDisk(run func() int) int {
	var err error
	if disk, err = os.MkdirTemp("", "berth-disk-"); err == nil {
		err = syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=48m")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a small disk:", err)
		return 1
	}
	code := run()
	if err := syscall.Unmount(disk, syscall.MNT_DETACH); err == nil {
		os.Remove(disk)
	}
	return code
}
