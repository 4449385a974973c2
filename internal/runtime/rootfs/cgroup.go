package rootfs

import (
	"errors"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/mount"
)

const cgroupRoot = "/sys/fs/cgroup"

// hierarchy is one line of /proc/thread-self/cgroup.
type hierarchy struct {
	controllers string // "cpu,cpuacct", "name=systemd", "" for the unified one
	path        string
}

func (b *Builder) mountCgroup(m specs.Mount, v2, namespaced bool) error {
	o := parseOptions(m)
	if v2 {
		return b.mountUnified(m, o)
	}
	list, err := hierarchies()
	if err != nil {
		return err
	}
	return b.mountV1(m, o, list, namespaced)
}

// mountUnified shows the one hierarchy, from the root of the cgroup namespace.
// Where that is not permitted the host's mount of it is bound.
func (b *Builder) mountUnified(m specs.Mount, o options) error {
	fd, err := mount.New("cgroup2", nil, o.attr.Set)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EBUSY) {
		if fd, err = mount.Clone(cgroupRoot, true); err == nil {
			fd, err = with(fd, mount.SetAttr(fd, o.attr, true))
		}
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return b.place(fd, m)
}

// mountV1 shows each hierarchy under the name that the host has it by.
func (b *Builder) mountV1(m specs.Mount, o options, list []hierarchy, namespaced bool) error {
	tmpfs, err := mount.New("tmpfs", mount.Params([]string{"mode=755", "source=cgroup"}),
		unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(tmpfs)
	if err := b.place(tmpfs, m); err != nil {
		return err
	}
	for _, h := range list {
		if err := b.mountHierarchy(h, tmpfs, o, namespaced); err != nil {
			return err
		}
	}
	if o.attr.Set&unix.MOUNT_ATTR_RDONLY == 0 {
		return nil
	}
	return mount.SetAttr(tmpfs, mount.Attr{Set: unix.MOUNT_ATTR_RDONLY}, false)
}

// names are what a hierarchy is called: the directory that it is mounted on and
// the links to that, one for each of several controllers.
func (h hierarchy) names() (dir string, links []string) {
	if h.controllers == "" {
		return "unified", nil
	}
	if name, ok := strings.CutPrefix(h.controllers, "name="); ok {
		return name, nil
	}
	links = strings.Split(h.controllers, ",")
	if len(links) == 1 {
		return h.controllers, nil
	}
	return h.controllers, links
}

// mountHierarchy mounts one hierarchy below the directory at: in a cgroup
// namespace a new mount shows the own cgroup as its root, otherwise the own part
// of the host's is bound. One that the host has mounted nowhere is left out.
func (b *Builder) mountHierarchy(h hierarchy, at int, o options, namespaced bool) error {
	name, links := h.names()
	host := path.Join(cgroupRoot, name)
	if unix.Access(host, unix.F_OK) != nil {
		return nil
	}
	var fd int
	var err error
	if namespaced {
		fd, err = h.new(o)
	} else if fd, err = mount.Clone(path.Join(host, h.path), true); err == nil {
		fd, err = with(fd, mount.SetAttr(fd, o.attr, true))
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Mkdirat(at, name, 0o755); err != nil {
		return err
	}
	if err := mount.AttachAt(fd, at, name); err != nil {
		return err
	}
	for _, link := range links {
		if err := unix.Symlinkat(name, at, link); err != nil {
			return err
		}
	}
	return nil
}

func (h hierarchy) new(o options) (int, error) {
	if h.controllers == "" {
		return mount.New("cgroup2", nil, o.attr.Set)
	}
	return mount.New("cgroup", mount.Params(strings.Split(h.controllers, ",")), o.attr.Set)
}

func hierarchies() ([]hierarchy, error) {
	text, err := readFile("/proc/thread-self/cgroup")
	if err != nil {
		return nil, err
	}
	list := parseHierarchies(text)
	if len(list) == 0 {
		return nil, errors.New("the kernel has no cgroups")
	}
	return list, nil
}

// parseHierarchies reads the lines ID:controllers:path.
func parseHierarchies(s string) []hierarchy {
	var list []hierarchy
	for line := range strings.Lines(s) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) == 3 {
			list = append(list, hierarchy{controllers: f[1], path: f[2]})
		}
	}
	return list
}
