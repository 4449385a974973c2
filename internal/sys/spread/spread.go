// Package spread tells a file system that the directories in a directory have
// nothing to do with each other.
package spread

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const topDir = 0x20000 // EXT4_TOPDIR_FL, chattr's T

// Below has ext4 put each directory that is made in dir from now on, with what
// is below it, into the block group that is the emptiest, as it does in its root
// (Orlov's allocator). Else they share one, in which each new file looks past
// every inode that was deleted in the last five minutes. Other file systems are
// left alone.
func Below(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil || st.Type != unix.EXT4_SUPER_MAGIC {
		return err
	}
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || flags&topDir != 0 {
		return err
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags|topDir)); err != nil {
		return fmt.Errorf("set flag T of %s: %w", dir, err)
	}
	return nil
}
