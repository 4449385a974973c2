package spec

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/sys/userns"
)

// hostNS as a namespace's path stays in the engine's.
const hostNS = "host"

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// builder holds one container's specification while it is made.
type builder struct {
	Input
	config   *container.Config
	host     *container.HostConfig
	security security
	spec     *specs.Spec
	warnings []string
}

// Build returns the specification of a container's next run. An error is
// InvalidArgument and names the option.
func Build(in Input) (Output, error) {
	b := &builder{Input: in, config: in.Record.Config, host: in.Record.HostConfig}
	if err := Validate(b.config, b.host); err != nil {
		return Output{}, err
	}
	if b.Devices == nil {
		b.Devices = HostDevices
	}
	var err error
	if b.security, err = parseSecurity(b.host.SecurityOpt); err != nil {
		return Output{}, err
	}
	if err := cmp.Or(b.labels(), b.checkUsers()); err != nil {
		return Output{}, err
	}
	b.spec = &specs.Spec{
		Version:     specs.Version,
		Root:        &specs.Root{Path: "rootfs", Readonly: b.host.ReadonlyRootfs},
		Annotations: b.host.Annotations,
		Linux:       &specs.Linux{CgroupsPath: b.cgroup()},
	}
	for _, step := range []func() error{b.namespaces, b.process, b.mounts, b.devices, b.resources, b.sysctls, b.confine} {
		if err := step(); err != nil {
			return Output{}, err
		}
	}
	return Output{Spec: b.spec, Warnings: b.warnings}, nil
}

func (b *builder) cgroup() string {
	parent := b.CgroupParent
	if b.host.CgroupParent != "" {
		parent = b.host.CgroupParent
	}
	return path.Join("/", parent, b.Record.ID)
}

// joined is what path says, or the mode that the user gave.
func joined(path string, host bool) string {
	if path == "" && host {
		return hostNS
	}
	return path
}

func (b *builder) netNS() string { return joined(b.NetNS, b.host.NetworkMode.IsHost()) }
func (b *builder) pidNS() string { return joined(b.PidNS, b.host.PidMode.IsHost()) }
func (b *builder) ipcNS() string { return joined(b.IpcNS, b.host.IpcMode.IsHost()) }
func (b *builder) utsNS() string { return joined(b.UtsNS, b.host.UTSMode.IsHost()) }

func (b *builder) namespaces() error {
	list := []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	for _, ns := range []specs.LinuxNamespace{
		{Type: specs.NetworkNamespace, Path: b.netNS()},
		{Type: specs.UTSNamespace, Path: b.utsNS()},
		{Type: specs.PIDNamespace, Path: b.pidNS()},
		{Type: specs.IPCNamespace, Path: b.ipcNS()},
	} {
		if ns.Path != hostNS {
			list = append(list, ns)
		}
	}
	if b.remapped() && b.UserNS != "" {
		list = append(list, specs.LinuxNamespace{Type: specs.UserNamespace, Path: b.UserNS})
	} else if b.remapped() {
		list = append(list, specs.LinuxNamespace{Type: specs.UserNamespace})
		b.spec.Linux.UIDMappings, b.spec.Linux.GIDMappings = idMappings(b.Users.UIDs), idMappings(b.Users.GIDs)
	}
	if m := b.host.CgroupnsMode; m.IsPrivate() || m.IsEmpty() && b.CgroupV2 {
		list = append(list, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	b.spec.Linux.Namespaces = list
	if b.utsNS() == "" {
		b.spec.Hostname, b.spec.Domainname = hostname(b.Record.ID, b.config), b.config.Domainname
	}
	return nil
}

// remapped is whether the container has a user namespace of its own.
func (b *builder) remapped() bool { return len(b.Users.UIDs) > 0 && !b.host.UsernsMode.IsHost() }

func idMappings(ranges []userns.Range) []specs.LinuxIDMapping {
	list := make([]specs.LinuxIDMapping, 0, len(ranges))
	for _, r := range ranges {
		list = append(list, specs.LinuxIDMapping{ContainerID: r.Inside, HostID: r.Outside, Size: r.Count})
	}
	return list
}

// checkUsers refuses, in Docker's words, what a user namespace is no obstacle to.
func (b *builder) checkUsers() error {
	switch {
	case !b.remapped():
		return nil
	case b.host.Privileged:
		return invalid("privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode")
	case b.host.NetworkMode.IsHost():
		return invalid("cannot share the host's network namespace when user namespaces are enabled")
	case b.host.PidMode.IsHost():
		return invalid("cannot share the host PID namespace when user namespaces are enabled")
	}
	return nil
}

const shortID = 12

func hostname(id string, c *container.Config) string {
	if c.Hostname != "" || len(id) < shortID {
		return c.Hostname
	}
	return id[:shortID]
}

// confine sets seccomp and the paths that are not to be seen or written.
func (b *builder) confine() error {
	l := b.spec.Linux
	if b.host.Privileged {
		return b.seccomp()
	}
	l.MaskedPaths, l.ReadonlyPaths = HiddenPaths(b.host)
	return b.seccomp()
}

// groups returns the numbers of --group-add. Names are looked up by find, or
// passed over without.
func groups(list []string, find func(name string) (uint32, error)) ([]uint32, error) {
	var gids []uint32
	for _, g := range list {
		n, err := strconv.ParseUint(g, 10, 31)
		switch {
		case err == nil:
			gids = append(gids, uint32(n))
			continue
		case g == "" || errors.Is(err, strconv.ErrRange) || strings.ContainsAny(g, ":,\n\x00"):
			return nil, invalid("invalid group-add %q: give the name or the number of a group", g)
		case find == nil:
			continue
		}
		gid, err := find(g)
		if err != nil {
			return nil, err
		}
		gids = append(gids, gid)
	}
	return gids, nil
}
