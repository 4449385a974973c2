package rootfs

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/mount"
)

// options are a mount's, sorted by what they act on.
type options struct {
	attr      mount.Attr // this mount
	recursive mount.Attr // this mount and those below it
	bind      bool
	rbind     bool
	remount   bool
	copyUp    bool
	mapped    bool     // the mount is ID-mapped
	mapAll    bool     // and those below it
	spread    bool     // the propagation is recursive
	subdir    string   // of the source, which is what is mounted
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

// meaningless are options of mount(8) that no kernel interface used here has.
var meaningless = []string{"", "defaults", "silent", "loud", "iversion", "noiversion", "acl", "noacl"}

// ofSuperblock are options of every filesystem, which a bind cannot change.
var ofSuperblock = []string{"sync", "async", "dirsync", "mand", "nomand", "lazytime", "nolazytime"}

// ofBuilder are the options that say how a mount is made.
var ofBuilder = []string{"bind", "rbind", "remount", "tmpcopyup", "idmap", "ridmap"}

// subdirOption mounts a directory or file below the source in its place, as
// mount(8) does; no link on the way leads out of the source.
const subdirOption = "X-mount.subdir="

// OptionNames lists the options that have a meaning for every type of mount.
func OptionNames() []string {
	names := slices.Concat(ofBuilder, ofSuperblock, meaningless[1:])
	for name := range attributes {
		names = append(names, name, "r"+name)
	}
	for name := range propagations {
		names = append(names, name, "r"+name)
	}
	slices.Sort(names)
	return names
}

func parseOptions(m specs.Mount) options {
	o := options{bind: m.Type == "bind", mapped: len(m.UIDMappings)+len(m.GIDMappings) > 0}
	for _, name := range m.Options {
		if dir, ok := strings.CutPrefix(name, subdirOption); ok {
			o.subdir = dir
			continue
		}
		if !o.attribute(name) && !o.propagation(name) && !o.kind(name) && !slices.Contains(meaningless, name) {
			o.data = append(o.data, name)
		}
	}
	if o.bind {
		o.data = slices.DeleteFunc(o.data, func(name string) bool { return slices.Contains(ofSuperblock, name) })
	}
	return o
}

func (o *options) attribute(name string) bool {
	if c, ok := attributes[name]; ok {
		o.attr = apply(o.attr, c)
		return true
	}
	c, ok := attributes[strings.TrimPrefix(name, "r")]
	if ok {
		o.recursive = apply(o.recursive, c)
	}
	return ok
}

func (o *options) propagation(name string) bool {
	if p, ok := propagations[name]; ok {
		o.attr.Propagation, o.spread = p, false
		return true
	}
	p, ok := propagations[strings.TrimPrefix(name, "r")]
	if ok {
		o.attr.Propagation, o.spread = p, true
	}
	return ok
}

func (o *options) kind(name string) bool {
	switch name {
	case "bind":
		o.bind = true
	case "rbind":
		o.bind, o.rbind = true, true
	case "remount":
		o.remount = true
	case "tmpcopyup":
		o.copyUp = true
	case "idmap":
		o.mapped = true
	case "ridmap":
		o.mapped, o.mapAll = true, true
	default:
		return false
	}
	return true
}

func (o *options) has(key string) bool {
	return slices.ContainsFunc(o.data, func(name string) bool { return strings.HasPrefix(name, key+"=") })
}

func apply(a mount.Attr, c change) mount.Attr {
	a.Set = a.Set&^c.clear | c.set
	a.Clear = a.Clear&^c.set | c.clear
	return a
}
