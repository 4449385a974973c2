package rootfs

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/mount"
)

// mount makes number i of the list. It is made detached first: its source is
// looked up in the host's root, its place in the container's.
func (b *Builder) mount(i int) error {
	m := b.spec.Mounts[i]
	o := parseOptions(m)
	switch {
	case o.remount:
		return b.remount(m, o)
	case o.bind:
		// Options of a filesystem mean nothing to a bind: mount(2) ignores them,
		// and so do the peers.
		return b.bind(i, m, o)
	case isLayers(m):
		return b.layers(i, m, o)
	case o.mapped:
		return invalid("ID-mapped mounts are binds only: take the mappings away, or bind a directory")
	case o.subdir != "":
		return invalid("option %s%s goes with a bind only", subdirOption, o.subdir)
	}
	return b.filesystem(i, m, o)
}

func invalid(format string, args ...any) error {
	return &wire.Failure{Cause: wire.Invalid, Message: fmt.Sprintf(format, args...)}
}

func (b *Builder) bind(i int, m specs.Mount, o options) error {
	fd, err := b.clone(i, m, o)
	if errors.Is(err, unix.ENOENT) {
		return errors.New("bind source path does not exist: " + m.Source)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return b.place(fd, m)
}

// place attaches a detached mount at its destination, which is made, as a
// directory or a file, if it is not there.
func (b *Builder) place(fd int, m specs.Mount) error {
	dir, err := mount.IsDir(fd)
	if err != nil {
		return err
	}
	make := mount.Create
	if dir {
		make = mount.Mkdir
	}
	target, err := make(b.root, m.Destination)
	if err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	defer unix.Close(target)
	return b.attach(fd, target, m, dir)
}

// clone returns the source of a bind, detached. What needs the host's
// privileges comes from the runtime.
func (b *Builder) clone(i int, m specs.Mount, o options) (int, error) {
	if o.mapped {
		return b.ask(i)
	}
	fd, err := cloneSource(m, o)
	if errors.Is(err, unix.EACCES) {
		return b.ask(i)
	}
	if err != nil {
		return -1, err
	}
	return with(fd, setAttrs(fd, o))
}

// cloneSource is a detached copy of what a bind is of.
func cloneSource(m specs.Mount, o options) (int, error) {
	if o.subdir == "" {
		return mount.Clone(m.Source, o.rbind)
	}
	fd, err := mount.CloneBeneath(m.Source, o.subdir, o.rbind)
	return fd, explainSubdir(m.Source, o.subdir, err)
}

func explainSubdir(base, subdir string, err error) error {
	switch {
	case errors.Is(err, unix.EXDEV):
		return invalid("path concatenation escapes the base directory, base: %s, subpath: %s", base, subdir)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return invalid("cannot access path %s/%s: no such file or directory", base, subdir)
	}
	return err
}

// with returns fd unless there was an error, and then closes it.
func with(fd int, err error) (int, error) {
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func setAttrs(fd int, o options) error {
	if o.spread {
		o.recursive.Propagation, o.attr.Propagation = o.attr.Propagation, 0
	}
	if o.attr.Set&^o.recursive.Set|o.attr.Clear&^o.recursive.Clear|o.attr.Propagation != 0 {
		if err := mount.SetAttr(fd, o.attr, false); err != nil {
			return explainAttrs(err)
		}
	}
	return explainAttrs(mount.SetAttr(fd, o.recursive, true))
}

func explainAttrs(err error) error {
	if err == unix.EPERM {
		return fmt.Errorf("set attributes: the host's mount has flags that a user namespace cannot clear (ro, nosuid, nodev, noexec, atime): %w", err)
	}
	if err != nil {
		return fmt.Errorf("set attributes: %w", err)
	}
	return nil
}

const sysfs = "sysfs"

// hosts are filesystems that belong to a namespace, which is the host's if
// mounting one anew is not permitted, and where the host has them.
var hosts = map[string]string{"sysfs": "/sys", "mqueue": "/dev/mqueue"}

func (b *Builder) filesystem(i int, m specs.Mount, o options) error {
	target, err := b.directory(m, &o)
	if err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	defer unix.Close(target)
	fd, err := b.create(i, m, o)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if o.copyUp {
		if err := copyUp(target, fd); err != nil {
			return fmt.Errorf("copy %s up: %w", m.Destination, err)
		}
	}
	if err := b.attach(fd, target, m, true); err != nil {
		return err
	}
	if m.Type == "proc" || m.Type == "sysfs" {
		return b.anchors.remember(fd, m)
	}
	return nil
}

// directory opens the place of a filesystem. A tmpfs looks like the directory
// that it covers.
func (b *Builder) directory(m specs.Mount, o *options) (int, error) {
	if m.Type == "proc" || m.Type == "sysfs" {
		// Whoever can turn the path into a link would choose what is masked later.
		fd, err := mount.MkdirPlain(b.root, m.Destination)
		if errors.Is(err, unix.ELOOP) {
			return -1, invalid("filesystem %q must be mounted on an ordinary directory, and %s leads over a symbolic link", m.Type, m.Destination)
		}
		return fd, err
	}
	if m.Type != "tmpfs" || o.has("mode") {
		return mount.Mkdir(b.root, m.Destination)
	}
	fd, err := mount.OpenIn(b.root, m.Destination, unix.O_PATH, 0)
	if errors.Is(err, unix.ENOENT) {
		return mount.Mkdir(b.root, m.Destination)
	}
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return with(fd, err)
	}
	o.data = append(o.data, fmt.Sprintf("mode=%o", st.Mode&0o7777))
	return fd, nil
}

// create makes a filesystem, detached. A tmpfs becomes read-only when all that
// lies on it was made.
func (b *Builder) create(i int, m specs.Mount, o options) (int, error) {
	params := mount.Params(o.data)
	if m.Source != "" {
		params = append(params, mount.Param{Key: "source", Value: m.Source})
		if o.attr.Set&unix.MOUNT_ATTR_RDONLY != 0 && strings.HasPrefix(m.Source, "/") {
			params = append(params, mount.Param{Key: "ro", Flag: true}) // no journal is replayed
		}
	}
	if b.spec.Label != "" && !slices.Contains([]string{"proc", "sysfs", "mqueue"}, m.Type) {
		params = append(params, mount.Param{Key: "context", Value: b.spec.Label})
	}
	attr := o.attr.Set
	if m.Type == "tmpfs" {
		attr &^= unix.MOUNT_ATTR_RDONLY
	}
	fd, err := mount.New(m.Type, params, attr)
	if errors.Is(err, unix.EINVAL) && m.Type == "devpts" {
		// A user namespace may not map the group of terminals: they keep the own one.
		params = slices.DeleteFunc(params, func(p mount.Param) bool { return p.Key == "gid" })
		fd, err = mount.New(m.Type, params, attr)
	}
	if errors.Is(err, unix.EPERM) {
		if m.Type == sysfs && b.ask != nil {
			// The network is not the user namespace's: only the host may show it.
			if fd, err := b.ask(i); err == nil {
				return fd, nil
			}
		}
		if own := b.hostsOwn(m.Type, o); own >= 0 {
			return own, nil
		}
	}
	if errors.Is(err, unix.ENODEV) && fd < 0 {
		return -1, fmt.Errorf("the kernel has no filesystem %q; set the type to one of /proc/filesystems: %w", m.Type, err)
	}
	if err != nil {
		return -1, err
	}
	if attr != o.attr.Set {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return with(fd, err)
		}
		b.readOnlyLast = append(b.readOnlyLast, own)
	}
	o.attr.Set, o.attr.Clear = 0, 0
	return with(fd, setAttrs(fd, o))
}

// hostsOwn is a copy of the host's mount of a namespace that the container
// shares with it; -1 if there is none.
func (b *Builder) hostsOwn(fstype string, o options) int {
	at := hosts[fstype]
	if fstype == "proc" && b.spec.SharedPid {
		at = "/proc"
	}
	if at == "" {
		return -1
	}
	fd, err := mount.Clone(at, true)
	if err != nil {
		return -1
	}
	fd, err = with(fd, setAttrs(fd, o))
	if err != nil {
		return -1
	}
	return fd
}

// remount changes the mount that is there.
func (b *Builder) remount(m specs.Mount, o options) error {
	target, err := mount.OpenIn(b.root, m.Destination, unix.O_PATH, 0)
	if err != nil {
		return fmt.Errorf("open mount: %w", err)
	}
	defer unix.Close(target)
	if !o.bind && len(o.data) > 0 {
		if err := mount.Reconfigure(target, mount.Params(o.data)); err != nil {
			return err
		}
	}
	return setAttrs(target, o)
}

// attach puts a detached mount at its place.
func (b *Builder) attach(fd, target int, m specs.Mount, dir bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(target, &st); err != nil {
		return err
	}
	if (st.Mode&unix.S_IFMT == unix.S_IFDIR) != dir {
		return errors.New("are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type")
	}
	name := path.Clean("/" + m.Destination)
	if name == "/" {
		return errors.New("destination can't be '/'")
	}
	if name == "/proc" || strings.HasPrefix(name, "/proc/") || b.anchors.isProc(st.Dev) {
		if err := b.inProc(fd, name, m); err != nil {
			return err
		}
	}
	b.anchors.forget(name)
	return mount.Attach(fd, target)
}

// emulated are files of /proc that lxcfs and its like provide.
var emulated = []string{"/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/net/dev", "/proc/slabinfo", "/proc/stat",
	"/proc/swaps", "/proc/uptime", "/proc/sys/crypto/fips_enabled", "/proc/sys/kernel/ns_last_pid"}

// inProc decides about a mount on /proc or below it: what is written there must
// reach the kernel, and what is masked there must stay masked.
func (b *Builder) inProc(fd int, name string, m specs.Mount) error {
	switch {
	case name != "/proc" && slices.Contains(emulated, name):
		return nil
	case name != "/proc":
		return invalid("%q cannot be mounted because it is inside /proc", m.Destination)
	case m.Type == "proc":
		return nil
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	if fs.Type != unix.PROC_SUPER_MAGIC {
		return invalid("%q cannot be mounted because it is not of type proc", m.Destination)
	}
	return b.anchors.remember(fd, m)
}

// source is what a mount is of, for messages.
func source(m specs.Mount) string {
	if m.Source != "" {
		return m.Source
	}
	return m.Type
}

// mountTable is the caller's.
func mountTable() (string, error) { return readFile("/proc/thread-self/mountinfo") }
