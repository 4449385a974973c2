// Package loop shows files as block devices. A device that is attached here
// goes away by itself with the last mount or descriptor of it, so a crash
// leaves nothing.
package loop

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// attempts bounds the race for a free device with others.
const attempts = 32

// Attach shows the file as a block device. The caller mounts it and only then
// closes it.
func Attach(path string, readOnly bool) (*os.File, error) {
	flags := os.O_RDWR
	if readOnly {
		flags = os.O_RDONLY
	}
	backing, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, fmt.Errorf("open the file of a loop device: %w", err)
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("ask for a loop device: %w", err)
	}
	defer control.Close()
	for range attempts {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		device, err := configure(backing, n, flags, readOnly)
		if errors.Is(err, unix.EBUSY) {
			continue // somebody was faster
		}
		if err != nil {
			return nil, fmt.Errorf("attach %s to a loop device: %w", path, err)
		}
		return device, nil
	}
	return nil, fmt.Errorf("attach %s to a loop device: %w", path, unix.EBUSY)
}

func configure(backing *os.File, n, flags int, readOnly bool) (*os.File, error) {
	name := "/dev/loop" + strconv.Itoa(n)
	device, err := os.OpenFile(name, flags, 0)
	if errors.Is(err, os.ErrNotExist) {
		// Where /dev is no devtmpfs nobody makes the node.
		const loopMajor = 7
		if err := unix.Mknod(name, syscall.S_IFBLK|0o600, int(unix.Mkdev(loopMajor, uint32(n)))); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, err
		}
		device, err = os.OpenFile(name, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	if readOnly {
		config.Info.Flags |= unix.LO_FLAGS_READ_ONLY
	}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], backing.Name())
	if err := unix.IoctlLoopConfigure(int(device.Fd()), &config); err != nil {
		device.Close()
		return nil, err
	}
	return device, nil
}
