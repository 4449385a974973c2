package rootfs

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/mount"
)

// options are a mount's, sorted by what they act on.
type options struct {
	attr      mount.Attr // this mount
	recursive mount.Attr // this mount and those below it
	bind      bool
	rbind     bool
	spread    bool     // the propagation is recursive
	data      []string // for the filesystem
}

type change struct{ set, clear uint64 }

var attributes = map[string]change{
	"ro": {set: unix.MOUNT_ATTR_RDONLY}, "rw": {clear: unix.MOUNT_ATTR_RDONLY},
	"nosuid": {set: unix.MOUNT_ATTR_NOSUID}, "suid": {clear: unix.MOUNT_ATTR_NOSUID},
	"nodev": {set: unix.MOUNT_ATTR_NODEV}, "dev": {clear: unix.MOUNT_ATTR_NODEV},
	"noexec": {set: unix.MOUNT_ATTR_NOEXEC}, "exec": {clear: unix.MOUNT_ATTR_NOEXEC},
	"nodiratime": {set: unix.MOUNT_ATTR_NODIRATIME}, "diratime": {clear: unix.MOUNT_ATTR_NODIRATIME},
	"nosymfollow": {set: unix.MOUNT_ATTR_NOSYMFOLLOW}, "symfollow": {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"noatime":       {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME},
	"atime":         {clear: unix.MOUNT_ATTR__ATIME},
	"relatime":      {set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
	"norelatime":    {clear: unix.MOUNT_ATTR__ATIME},
	"strictatime":   {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
	"nostrictatime": {clear: unix.MOUNT_ATTR__ATIME},
}

var propagations = map[string]uint64{
	"private": unix.MS_PRIVATE, "slave": unix.MS_SLAVE, "shared": unix.MS_SHARED, "unbindable": unix.MS_UNBINDABLE,
}

func parseOptions(list []string) options {
	var o options
	for _, name := range list {
		if c, ok := attributes[name]; ok {
			o.attr = apply(o.attr, c)
			continue
		}
		if c, ok := attributes[strings.TrimPrefix(name, "r")]; ok && name[0] == 'r' {
			o.recursive = apply(o.recursive, c)
			continue
		}
		if p, ok := propagations[name]; ok {
			o.attr.Propagation, o.spread = p, false
			continue
		}
		if p, ok := propagations[strings.TrimPrefix(name, "r")]; ok {
			o.attr.Propagation, o.spread = p, true
			continue
		}
		switch name {
		case "bind":
			o.bind = true
		case "rbind":
			o.bind, o.rbind = true, true
		case "", "defaults", "async", "remount":
		default:
			o.data = append(o.data, name)
		}
	}
	return o
}

func apply(a mount.Attr, c change) mount.Attr {
	a.Set = a.Set&^c.clear | c.set
	a.Clear = a.Clear&^c.set | c.clear
	return a
}
