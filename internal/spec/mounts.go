package spec

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/container"
)

// mounts are the default ones that no mount of the user replaces, then the
// user's and the engine's, the outer ones first.
func (b *builder) mounts() error {
	user, err := b.userMounts()
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, m := range user {
		taken[m.Destination] = true
	}
	var list []specs.Mount
	for _, m := range b.defaultMounts() {
		if !taken[m.Destination] && !(taken["/dev"] && strings.HasPrefix(m.Destination, "/dev/")) {
			list = append(list, m)
		}
	}
	engine := b.engineMounts(taken)
	if b.host.ReadonlyRootfs {
		for i, m := range list {
			if !b.host.Privileged && m.Destination != "/proc" && m.Destination != "/dev" && !strings.HasPrefix(m.Destination, "/dev/") {
				list[i].Options = readOnly(m.Options)
			}
		}
		for i, m := range engine {
			engine[i].Options = readOnly(m.Options)
		}
	}
	later := slices.Concat(user, engine)
	slices.SortStableFunc(later, func(a, b specs.Mount) int {
		return cmp.Or(cmp.Compare(depth(a.Destination), depth(b.Destination)), cmp.Compare(a.Destination, b.Destination))
	})
	b.spec.Mounts = append(list, later...)
	return nil
}

func depth(p string) int { return strings.Count(path.Clean(p), "/") }

func readOnly(options []string) []string {
	options = slices.DeleteFunc(slices.Clone(options), func(o string) bool { return o == "rw" })
	if !slices.Contains(options, "ro") {
		options = append(options, "ro")
	}
	return options
}

// defaultMounts are Docker's.
func (b *builder) defaultMounts() []specs.Mount {
	access := []string{"ro"}
	if b.host.Privileged {
		access = []string{"rw"}
	}
	cgroup := access
	if b.security.writableCgroups {
		cgroup = []string{"rw"}
	}
	secure := func(o ...string) []string { return append([]string{"nosuid", "noexec", "nodev"}, o...) }
	list := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: secure()},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts",
			Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: secure(access...)},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: secure(cgroup...)},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: secure()},
	}
	switch {
	case b.host.IpcMode.IsNone():
		return list
	case b.ShmDir != "":
		return append(list, bind(b.ShmDir, "/dev/shm", secure("rbind", "rprivate")...))
	case b.ipcNS() == hostNS:
		return append(list, bind("/dev/shm", "/dev/shm", "rbind", "rprivate"))
	}
	size := b.host.ShmSize
	if size == 0 {
		size = 64 << 20
	}
	return append(list, specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: secure("mode=1777", fmt.Sprintf("size=%d", size))})
}

func bind(source, destination string, options ...string) specs.Mount {
	return specs.Mount{Destination: destination, Type: "bind", Source: source, Options: options}
}

// engineMounts are the files that the engine keeps for the container, unless
// the user has mounted something there.
func (b *builder) engineMounts(taken map[string]bool) []specs.Mount {
	var list []specs.Mount
	for _, f := range [][2]string{
		{b.ResolvConfFile, "/etc/resolv.conf"}, {b.HostnameFile, "/etc/hostname"}, {b.HostsFile, "/etc/hosts"},
	} {
		if f[0] != "" && !taken[f[1]] {
			list = append(list, b.mapped(bind(f[0], f[1], "rbind", "rprivate")))
		}
	}
	if b.runsInit() {
		list = append(list, bind(b.InitBinary, initPath, "bind", "ro"))
	}
	return list
}

func (b *builder) userMounts() ([]specs.Mount, error) {
	var list []specs.Mount
	seen := map[string]bool{}
	for _, m := range b.Record.Mounts {
		made, err := b.userMount(m)
		if err != nil {
			return nil, err
		}
		seen[made.Destination] = true
		list = append(list, made)
	}
	for _, dst := range slices.Sorted(maps.Keys(b.host.Tmpfs)) {
		clean := path.Clean(dst)
		if seen[clean] {
			return nil, invalid("Duplicate mount point: %s", dst)
		}
		options, err := tmpfsOptions(strings.Split(b.host.Tmpfs[dst], ","))
		if err != nil {
			return nil, err
		}
		list = append(list, specs.Mount{Destination: clean, Type: "tmpfs", Source: "tmpfs", Options: options})
	}
	return list, nil
}

func (b *builder) userMount(m container.Mount) (specs.Mount, error) {
	dst := path.Clean(m.Destination)
	if m.Type == mount.TypeTmpfs {
		options, err := tmpfsOfMount(m)
		return specs.Mount{Destination: dst, Type: "tmpfs", Source: "tmpfs", Options: options}, err
	}
	if m.Type == mount.TypeImage {
		return b.imageMount(dst, m)
	}
	if m.Source == "" {
		return specs.Mount{}, invalid("mount %s: its source is not known", m.Destination)
	}
	bindOptions := mount.BindOptions{}
	if m.Bind != nil {
		bindOptions = *m.Bind
	}
	o := []string{"rbind"}
	if bindOptions.NonRecursive {
		o[0] = "bind"
	}
	if !m.RW {
		o = append(o, "ro")
		if !bindOptions.NonRecursive && !bindOptions.ReadOnlyNonRecursive {
			o = append(o, "rro") // what is mounted below it, too
		}
	}
	propagation := m.Propagation
	if propagation == "" {
		propagation = mount.PropagationRPrivate
	}
	b.propagate(propagation)
	o = append(o, string(propagation))
	if m.Subpath != "" {
		o = append(o, subdir+m.Subpath)
	}
	made := specs.Mount{Destination: dst, Type: "bind", Source: m.Source, Options: o}
	switch ids, ok := b.IDMaps[m.Destination]; {
	case m.IDMap == "userns" && !b.remapped():
		return specs.Mount{}, invalid("mount %s: the ID map userns needs a container with a user namespace (userns-remap)", m.Destination)
	case m.IDMap == "userns", m.Type == mount.TypeVolume && !m.Foreign:
		made = b.mapped(made)
	case ok:
		made.UIDMappings, made.GIDMappings = idMappings(ids.UIDs), idMappings(ids.GIDs)
		if o[0] == "rbind" {
			made.Options = append(made.Options, "ridmap")
		}
	}
	return made, nil
}

// mapped shows what the engine keeps through the container's own ID map: on disk
// it has the IDs that the container knows, whatever the map.
func (b *builder) mapped(m specs.Mount) specs.Mount {
	if b.remapped() {
		m.Options = append(m.Options, "idmap")
	}
	return m
}

// subdir is mount(8)'s option for a part of the source, which the runtime knows.
const subdir = "X-mount.subdir="

// imageMount is an overlay of the image's layers, read-only.
func (b *builder) imageMount(dst string, m container.Mount) (specs.Mount, error) {
	layers, ok := b.Images[m.Destination]
	if !ok {
		return specs.Mount{}, invalid("mount %s: the layers of image %s are not known", m.Destination, m.Name)
	}
	o := []string{"ro", string(mount.PropagationRPrivate)}
	for _, l := range layers.Lowers {
		o = append(o, "lowerdir+="+l)
	}
	if layers.Upper != "" {
		o = append(o, "upperdir="+layers.Upper, "workdir="+layers.Work)
	}
	if m.Subpath != "" {
		o = append(o, subdir+m.Subpath)
	}
	return b.mapped(specs.Mount{Destination: dst, Type: "overlay", Source: "overlay", Options: o}), nil
}

// propagate makes the root spread as far as the mount with the widest
// propagation needs.
func (b *builder) propagate(p mount.Propagation) {
	root := &b.spec.Linux.RootfsPropagation
	switch p {
	case mount.PropagationShared, mount.PropagationRShared:
		*root = "shared"
	case mount.PropagationSlave, mount.PropagationRSlave:
		if *root != "shared" {
			*root = "rslave"
		}
	}
}

// tmpfsFlags are the options without a value that a tmpfs takes, each with the
// one that it takes back.
func tmpfsFlags() map[string]string {
	return map[string]string{
		"rw": "ro", "ro": "rw", "exec": "noexec", "noexec": "exec", "suid": "nosuid", "nosuid": "suid", "dev": "nodev", "nodev": "dev",
		"atime": "noatime", "noatime": "atime", "diratime": "nodiratime", "nodiratime": "diratime",
		"relatime": "norelatime", "norelatime": "relatime", "strictatime": "nostrictatime", "nostrictatime": "strictatime",
		"private": "", "rprivate": "", "shared": "", "rshared": "", "slave": "", "rslave": "", "defaults": "", "async": "sync", "sync": "async",
	}
}

// tmpfsOptions puts the user's options over Docker's defaults.
func tmpfsOptions(user []string) ([]string, error) {
	flags := tmpfsFlags()
	options := []string{"noexec", "nosuid", "nodev"}
	for _, o := range user {
		o = strings.TrimSpace(o)
		if o == "" {
			continue
		}
		key, value, hasValue := strings.Cut(o, "=")
		opposite, isFlag := flags[key]
		switch {
		case isFlag && !hasValue:
			options = slices.DeleteFunc(options, func(have string) bool { return have == opposite || have == o })
		case hasValue && value != "" && slices.Contains([]string{"mode", "uid", "gid", "size", "nr_inodes", "nr_blocks", "mpol"}, key):
			options = slices.DeleteFunc(options, func(have string) bool { return strings.HasPrefix(have, key+"=") })
		default:
			return nil, invalid("Invalid tmpfs option %q", o)
		}
		options = append(options, o)
	}
	return options, nil
}

func tmpfsOfMount(m container.Mount) ([]string, error) {
	var user []string
	if !m.RW {
		user = append(user, "ro")
	}
	if t := m.Tmpfs; t != nil {
		if t.Mode != 0 {
			user = append(user, fmt.Sprintf("mode=%o", t.Mode))
		}
		if t.SizeBytes != 0 {
			user = append(user, fmt.Sprintf("size=%d", t.SizeBytes))
		}
		for _, o := range t.Options {
			user = append(user, strings.Join(o, "="))
		}
	}
	return tmpfsOptions(user)
}
