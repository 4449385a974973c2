package mount

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// classicFlags are the options of mount(8) that mount(2) takes as flags.
var classicFlags = map[string]struct {
	clear bool
	flag  uintptr
}{
	"ro": {flag: unix.MS_RDONLY}, "rw": {true, unix.MS_RDONLY}, "nosuid": {flag: unix.MS_NOSUID}, "suid": {true, unix.MS_NOSUID},
	"nodev": {flag: unix.MS_NODEV}, "dev": {true, unix.MS_NODEV}, "noexec": {flag: unix.MS_NOEXEC}, "exec": {true, unix.MS_NOEXEC},
	"sync": {flag: unix.MS_SYNCHRONOUS}, "async": {true, unix.MS_SYNCHRONOUS}, "dirsync": {flag: unix.MS_DIRSYNC},
	"mand": {flag: unix.MS_MANDLOCK}, "nomand": {true, unix.MS_MANDLOCK}, "noatime": {flag: unix.MS_NOATIME}, "atime": {true, unix.MS_NOATIME},
	"nodiratime": {flag: unix.MS_NODIRATIME}, "diratime": {true, unix.MS_NODIRATIME}, "relatime": {flag: unix.MS_RELATIME},
	"norelatime": {true, unix.MS_RELATIME}, "strictatime": {flag: unix.MS_STRICTATIME}, "nostrictatime": {true, unix.MS_STRICTATIME},
	"bind": {flag: unix.MS_BIND}, "rbind": {flag: unix.MS_BIND | unix.MS_REC}, "defaults": {}, "remount": {flag: unix.MS_REMOUNT},
}

var classicPropagation = map[string]uintptr{
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC, "slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
	"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC, "unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
}

// Classic mounts by mount(2), with the options of mount(8) in one text: flags,
// propagation, and what is left for the filesystem. A bind gets its flags by a
// second call. If that fails nothing is mounted.
func Classic(source, target, fstype, options string) error {
	var flags uintptr
	var spread []uintptr
	var data []string
	for o := range strings.SplitSeq(options, ",") {
		f, ok := classicFlags[o]
		p, spreads := classicPropagation[o]
		switch {
		case o == "":
		case ok && f.clear:
			flags &^= f.flag
		case ok:
			flags |= f.flag
		case spreads:
			spread = append(spread, p)
		default:
			data = append(data, o)
		}
	}
	if err := unix.Mount(source, target, fstype, flags, strings.Join(data, ",")); err != nil {
		return fmt.Errorf("mount %s at %s: %w", source, target, err)
	}
	if err := amend(target, flags, spread); err != nil {
		_ = unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		return fmt.Errorf("set the flags of the mount of %s at %s: %w", source, target, err)
	}
	return nil
}

func amend(target string, flags uintptr, spread []uintptr) error {
	for _, p := range spread {
		if err := unix.Mount("", target, "", p, ""); err != nil {
			return err
		}
	}
	const ofBind = unix.MS_BIND | unix.MS_REC
	if flags&unix.MS_BIND == 0 || flags&^ofBind == 0 || flags&unix.MS_REMOUNT != 0 {
		return nil
	}
	return unix.Mount("", target, "", flags&^unix.MS_REC|unix.MS_REMOUNT, "")
}

// IsPoint is whether a filesystem is mounted at path, which must be there. A
// server of files is not asked.
func IsPoint(path string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC, 0, &st); err != nil {
		return false, fmt.Errorf("look for a mount at %s: %w", path, err)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
