package rootfs

import (
	"errors"
	"os"
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
	o := parseOptions(m.Options)
	list, err := hierarchies()
	if err != nil {
		return err
	}
	if v2 {
		return b.mountHierarchy(hierarchy{path: unifiedPath(list)}, cgroupRoot, m.Destination, o, namespaced)
	}
	return b.mountV1(m, o, list, namespaced)
}

// mountV1 shows each hierarchy under the name that the host has it by.
func (b *Builder) mountV1(m specs.Mount, o options, list []hierarchy, namespaced bool) error {
	tmpfs, err := mount.New("tmpfs", mount.Params([]string{"mode=755", "source=cgroup"}),
		unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(tmpfs)
	if err := b.attach(tmpfs, m.Destination); err != nil {
		return err
	}
	for _, h := range list {
		name := strings.TrimPrefix(h.controllers, "name=")
		if h.controllers == "" {
			name = "unified"
		}
		host := cgroupRoot + "/" + name
		if _, err := os.Stat(host); err != nil {
			continue // not mounted on the host
		}
		err := b.mountHierarchy(h, host, path.Join(m.Destination, name), o, namespaced)
		if err != nil {
			return err
		}
		for _, alias := range strings.Split(h.controllers, ",") {
			if alias != name && alias != "" && !strings.HasPrefix(alias, "name=") {
				if err := unix.Symlinkat(name, tmpfs, alias); err != nil {
					return err
				}
			}
		}
	}
	if o.attr.Set&unix.MOUNT_ATTR_RDONLY == 0 {
		return nil
	}
	return mount.SetAttr(tmpfs, mount.Attr{Set: unix.MOUNT_ATTR_RDONLY}, false)
}

// mountHierarchy mounts one hierarchy: in a cgroup namespace a new mount shows
// the own cgroup as its root, otherwise the own part of the host's is bound.
func (b *Builder) mountHierarchy(h hierarchy, host, destination string, o options, namespaced bool) error {
	fstype := "cgroup"
	var params []mount.Param
	if h.controllers == "" {
		fstype = "cgroup2"
	} else {
		params = mount.Params(strings.Split(h.controllers, ","))
	}
	var fd int
	var err error
	if namespaced {
		fd, err = mount.New(fstype, params, o.attr.Set)
	} else if fd, err = mount.Clone(path.Join(host, h.path), true); err == nil {
		err = mount.SetAttr(fd, o.attr, true)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return b.attach(fd, destination)
}

func hierarchies() ([]hierarchy, error) {
	b, err := os.ReadFile("/proc/thread-self/cgroup")
	if err != nil {
		return nil, err
	}
	list := parseHierarchies(string(b))
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

func unifiedPath(list []hierarchy) string {
	for _, h := range list {
		if h.controllers == "" {
			return h.path
		}
	}
	return "/"
}
