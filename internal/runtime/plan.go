package runtime

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/attributes"
	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/process"
)

var namespaceFlags = map[specs.LinuxNamespaceType]int{
	specs.PIDNamespace: unix.CLONE_NEWPID, specs.NetworkNamespace: unix.CLONE_NEWNET,
	specs.MountNamespace: unix.CLONE_NEWNS, specs.IPCNamespace: unix.CLONE_NEWIPC,
	specs.UTSNamespace: unix.CLONE_NEWUTS, specs.CgroupNamespace: unix.CLONE_NEWCGROUP,
	specs.UserNamespace: unix.CLONE_NEWUSER, specs.TimeNamespace: unix.CLONE_NEWTIME,
}

// plan is how a specification's namespaces come about.
type plan struct {
	clone   int         // flags for the clone
	joins   []wire.Join // by the init
	pidPath string      // joined before the clone: it takes effect for children
	cgroup  bool        // a new cgroup namespace, made once the cgroup is joined
	time    bool        // a new time namespace, which the program's execve enters
	all     int         // every namespace that is not the host's
}

// ahead is whether namespaces are joined before the init is there: with a user
// namespace since it takes or ends the right to join others, and since a process
// with threads can join neither it nor a time namespace.
func (p plan) ahead() bool {
	joined := 0
	for _, j := range p.joins {
		joined |= j.Flag
	}
	if p.pidPath != "" {
		joined |= unix.CLONE_NEWPID
	}
	return joined&(unix.CLONE_NEWUSER|unix.CLONE_NEWTIME) != 0 || p.clone&unix.CLONE_NEWUSER != 0 && joined != 0
}

func newPlan(spec *specs.Spec) (plan, error) {
	var p plan
	if spec.Linux == nil || spec.Process == nil {
		return p, errdefs.ErrInvalidArgument.WithMessage("the specification needs \"linux\" and \"process\"")
	}
	for _, ns := range spec.Linux.Namespaces {
		flag, ok := namespaceFlags[ns.Type]
		if !ok {
			return p, invalid("linux.namespaces has no type %q: use one of cgroup ipc mount network pid time user uts", ns.Type)
		}
		if p.all&flag != 0 {
			return p, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the %s namespace is named twice", ns.Type))
		}
		if flag == unix.CLONE_NEWNS && isOwnMounts(ns.Path) {
			continue // as if it were not named
		}
		p.all |= flag
		switch {
		case ns.Path != "" && flag == unix.CLONE_NEWPID:
			p.pidPath = ns.Path
		case ns.Path != "":
			p.joins = append(p.joins, wire.Join{Flag: flag, Path: ns.Path})
		case flag == unix.CLONE_NEWCGROUP:
			p.cgroup = true
		case flag == unix.CLONE_NEWTIME:
			p.time = true
		default:
			p.clone |= flag
		}
	}
	if p.all&unix.CLONE_NEWNS == 0 && p.all&unix.CLONE_NEWUSER != 0 {
		return p, invalid("linux.namespaces has a user namespace but no mount namespace, where its users could mount the root: add one")
	}
	return p, validate(spec, p)
}

func validate(spec *specs.Spec, p plan) error {
	if err := checkResctrl(spec.Linux.IntelRdt); err != nil {
		return err
	}
	if p.all&unix.CLONE_NEWUTS == 0 && (spec.Hostname != "" || spec.Domainname != "") {
		return errdefs.ErrInvalidArgument.WithMessage("unable to set hostname without a private UTS namespace")
	}
	if err := cmp.Or(validateMounts(spec.Linux), validateUsers(spec.Linux, p), validateTimes(spec.Linux, p), validateNetDevices(spec.Linux, p)); err != nil {
		return err
	}
	return validateSysctls(spec.Linux.Sysctl, p)
}

var propagations = []string{"", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"}

func validateMounts(l *specs.Linux) error {
	if !slices.Contains(propagations, l.RootfsPropagation) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("linux.rootfsPropagation %q is unknown: use one of%s",
			l.RootfsPropagation, strings.Join(propagations, " ")))
	}
	var fs unix.Statfs_t
	if l.MountLabel != "" && (unix.Statfs("/sys/fs/selinux", &fs) != nil || fs.Type != unix.SELINUX_MAGIC) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("linux.mountLabel is %q, but SELinux is not enabled on this host; take it out of the specification", l.MountLabel))
	}
	return nil
}

// config is what the init of a new container is told.
func (r *Runtime) config(o CreateOptions, p plan) (*wire.Config, error) {
	filter, err := r.filter(o.Spec.Linux.Seccomp)
	if err != nil {
		return nil, err
	}
	l := o.Spec.Linux
	attrs, err := attributes.Resolve(o.Spec.Process, l, hostOf(o.Spec.Process))
	if err != nil {
		return nil, err
	}
	c := &wire.Config{
		Attributes: attrs,
		Process:    o.Spec.Process, Seccomp: filter, Gate: o.Gate != nil,
		Preserved: numbers(o.ExtraFiles), ListenFDs: o.ListenFDs,
		User: p.all&unix.CLONE_NEWUSER != 0, UID: first(l.UIDMappings), GID: first(l.GIDMappings),
		NewTime: p.time, TimeOffsets: timeOffsets(l),
		Joins: p.joins, NewNet: p.clone&unix.CLONE_NEWNET != 0, NewCgroup: p.cgroup, CgroupV2: r.unified(),
		Hostname: o.Spec.Hostname, Domainname: o.Spec.Domainname, Sysctl: sysctls(l.Sysctl),
		Root: wire.Root{Rootfs: o.Rootfs, Propagation: l.RootfsPropagation, Mounts: o.Spec.Mounts,
			Devices: l.Devices, Masked: l.MaskedPaths, ReadOnly: l.ReadonlyPaths,
			Label: l.MountLabel, NoPivot: o.NoPivot, Mapped: o.Rootfs != nil && p.all&unix.CLONE_NEWUSER != 0, SharedPid: p.all&unix.CLONE_NEWPID == 0, Inherited: p.all&unix.CLONE_NEWNS == 0},
	}
	if root := o.Spec.Root; root != nil {
		c.Root.Readonly = root.Readonly
		c.Root.Path = root.Path
		if !filepath.IsAbs(c.Root.Path) {
			c.Root.Path = filepath.Join(o.Bundle, c.Root.Path)
		}
	}
	if c.Root.Inherited && o.Rootfs != nil {
		return nil, invalid("an image as the root needs a mount namespace: add one to linux.namespaces")
	}
	if c.Root.Path == "" && o.Rootfs == nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("the container has no root file system: set root.path")
	}
	if c.Hooks, err = containerHooks(o); err != nil {
		return nil, err
	}
	c.KeepKeyring, c.Root.InPlace = o.KeepKeyring, len(c.Hooks.Create) > 0
	if p.ahead() {
		// What is mounted as the cgroup is the caller's view, until the mounts are made.
		c.Joins = slices.DeleteFunc(slices.Clone(p.joins), func(j wire.Join) bool { return j.Flag != unix.CLONE_NEWCGROUP })
	}
	c.Root.Mounts = absoluteSources(c.Root.Mounts, o.Bundle)
	return c, nil
}

// absoluteSources resolves the sources of binds from the bundle, as the OCI
// specification has it.
func absoluteSources(mounts []specs.Mount, bundle string) []specs.Mount {
	out := make([]specs.Mount, len(mounts))
	for i, m := range mounts {
		bind := m.Type == "bind"
		for _, o := range m.Options {
			bind = bind || o == "bind" || o == "rbind"
		}
		if bind && !filepath.IsAbs(m.Source) {
			m.Source = filepath.Join(bundle, m.Source)
		}
		out[i] = m
	}
	return out
}

// hostOf asks the host for no more than p needs.
func hostOf(p *specs.Process) attributes.Host {
	return attributes.Host{AppArmor: p.ApparmorProfile != "" && process.HasAppArmor("/"), SELinux: p.SelinuxLabel != "" && process.HasSELinux()}
}
