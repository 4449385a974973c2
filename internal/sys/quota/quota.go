// Package quota bounds what lies below a directory by project quota, on ext4
// (made with the features "quota" and "project", mounted with prjquota) and xfs
// (mounted with prjquota). A project is a number that files below a directory
// inherit.
//
// The filesystem keeps all of it, so limits are there after a restart; a crash
// between Set's steps leaves a number without files.
package quota

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// The kernel's, of linux/quota.h and linux/fs.h.
const (
	projectType   = 2        // PRJQUOTA
	setQuota      = 0x800008 // Q_SETQUOTA
	commandShift  = 8
	blockLimits   = 1 // QIF_BLIMITS
	quotaBlock    = 1024
	getAttributes = 0x801c581f // FS_IOC_FSGETXATTR
	setAttributes = 0x401c5820 // FS_IOC_FSSETXATTR
	inherit       = 0x200      // FS_XFLAG_PROJINHERIT
)

// attributes is struct fsxattr.
type attributes struct {
	flags, extentSize, extents, project, cowExtentSize uint32
	_                                                  [8]byte
}

// limits is struct if_dqblk.
type limits struct {
	blockHard, blockSoft, space  uint64
	inodeHard, inodeSoft, inodes uint64
	blockTime, inodeTime         uint64
	valid, _                     uint32
}

// Set bounds the files that will lie below the directories together.
// FailedPrecondition if the filesystem has no project quota.
func Set(limitBytes int64, dirs ...string) error {
	project, err := projectOf(dirs[0])
	if err != nil {
		return fmt.Errorf("set a quota: %w", err)
	}
	for i, dir := range dirs {
		if err := set(dir, project, limitBytes, i == 0); err != nil {
			return explain(dir, err)
		}
	}
	return nil
}

func set(dir string, project uint32, limitBytes int64, first bool) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if first {
		blocks := uint64(limitBytes) / quotaBlock
		if err := setLimit(d, project, limits{blockHard: blocks, blockSoft: blocks, valid: blockLimits}); err != nil {
			return err
		}
	}
	var a attributes
	if err := ioctl(d, getAttributes, &a); err != nil {
		return err
	}
	a.project, a.flags = project, a.flags|inherit
	return ioctl(d, setAttributes, &a)
}

// Clear takes the limit of the directory away, before it is deleted: the
// project's number is given to another one later.
func Clear(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("clear a quota: %w", err)
	}
	defer d.Close()
	var a attributes
	project, err := projectOf(dir)
	if err == nil {
		err = ioctl(d, getAttributes, &a)
	}
	if err != nil || a.project != project {
		return nil // the filesystem has none, or it is not from here
	}
	if err := setLimit(d, project, limits{valid: blockLimits}); err != nil {
		return fmt.Errorf("clear the quota of %s: %w", dir, err)
	}
	return nil
}

// projectOf is a number that no other directory of the filesystem has, but for
// filesystems with more than a thousand million inodes; people's own projects
// have small ones.
func projectOf(dir string) (uint32, error) {
	const own = 1 << 30
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	return own | uint32(st.Ino%own), nil
}

func explain(dir string, err error) error {
	for _, no := range []error{unix.ENOTTY, unix.EOPNOTSUPP, unix.ESRCH, unix.ENOSYS, unix.EINVAL, unix.ENODEV, unix.ENOTBLK} {
		if errors.Is(err, no) {
			return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("the filesystem of %s has no project quota (%v): use xfs, or ext4 with the features quota and project, mounted with the option prjquota", dir, err))
		}
	}
	return fmt.Errorf("set a quota of %s: %w", dir, err)
}

// setLimit uses quotactl_fd(2) of Linux 5.14, which needs no block device.
func setLimit(on *os.File, project uint32, l limits) error {
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, on.Fd(), setQuota<<commandShift|projectType, uintptr(project), uintptr(unsafe.Pointer(&l)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func ioctl(on *os.File, request uintptr, a *attributes) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, on.Fd(), request, uintptr(unsafe.Pointer(a)))
	if errno != 0 {
		return errno
	}
	return nil
}
