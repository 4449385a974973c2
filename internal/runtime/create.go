package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/attributes"
	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/resctrl"
	"github.com/berth-containers/berth/internal/undo"
)

func (r *Runtime) unified() bool { return r.cgroup == cgroup.V2 }

// Create makes a container up to the point where its program could be
// executed. On failure nothing of it is left; on success the caller is the
// parent of Container.Pid and waits for it.
func (r *Runtime) Create(ctx context.Context, o CreateOptions) (_ *Container, err error) {
	p, err := newPlan(o.Spec)
	if err != nil {
		return nil, err
	}
	times, err := earlyTime(&p, o.Spec.Linux)
	if err != nil {
		return nil, err
	}
	if times != nil {
		defer times.Close()
	}
	config, err := r.config(o, p)
	if err != nil {
		return nil, err
	}
	if config.Sysctl, err = hostsSysctls(config.Sysctl, p); err != nil {
		return nil, err
	}
	var back undo.Stack
	defer back.OnError(ctx, &err)
	c := &Container{ID: o.ID, CgroupPath: o.Spec.Linux.CgroupsPath}
	if o.Unit != nil {
		c.CgroupPath, c.unit = o.Unit.Path, o.Unit.Name
	}
	s := start{clone: p.clone, pidNS: p.pidPath, extra: o.Gate, stdio: o.Stdio, terminal: o.Spec.Process.Terminal, extras: o.ExtraFiles}
	if p.ahead() {
		files, err := s.join(p, o.Spec.Linux)
		defer closeAll(files)
		if err != nil {
			return nil, err
		}
	}
	if p.clone&unix.CLONE_NEWUSER != 0 {
		s.users = &idMap{o.Spec.Linux.UIDMappings, o.Spec.Linux.GIDMappings}
	}
	if config.Root.Inherited {
		if c.uncover, err = uncoverer(config.Root.Path); err != nil {
			return nil, err
		}
		back.Add(c.uncover)
	}
	ch, warnings, err := r.begin(ctx, o, s, config, &back)
	if err != nil {
		return nil, err
	}
	c.Warnings = warnings
	ch.provider = &provider{runtime: r, root: &config.Root, pid: ch.pid, ownUser: p.all&unix.CLONE_NEWUSER != 0}
	defer ch.provider.close()
	ch.hooks = func() error { return createHooks(o, ch.pid) }
	ready, err := ch.listen(ctx)
	if err == nil && !ready {
		err = fmt.Errorf("create container: the init ended early (%w)", errOr(ch.alive(), unix.ECHILD))
	}
	if err != nil {
		return nil, err
	}
	if o.HoldMounts {
		if c.Mounts, err = os.Open(fmt.Sprintf("/proc/%d/ns/mnt", ch.pid)); err != nil {
			return nil, fmt.Errorf("hold the container's mounts: %w", err)
		}
	}
	ch.devices.close()
	c.Pid, c.Pidfd, c.Console = ch.pid, ch.pidfd, ch.console
	c.Warnings, ch.warnings = append(c.Warnings, ch.warnings...), nil
	c.gate = &gate{runtime: r, child: ch, hooks: len(config.Hooks.Start) > 0}
	return c, nil
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// begin makes the cgroup and an init in it, and tells the init what to do.
func (r *Runtime) begin(ctx context.Context, o CreateOptions, s start, config *wire.Config, back *undo.Stack) (*child, []string, error) {
	group, err := beginCgroup(o)
	if err != nil {
		return nil, nil, err
	}
	back.Add(group.undo)
	if !r.tight(o.Spec) {
		s.group = group.Group
	}
	ch, err := r.start(s)
	if err != nil {
		return nil, nil, err
	}
	back.Add(ch.kill)
	ch.devices, err = moveNetDevices(o.Spec.Linux, ch.pid, back)
	if err == nil {
		err = listenerFor(config, o.Spec.Linux.Seccomp, ch.pid, specs.State{ID: o.ID, Status: specs.StateCreated, Pid: ch.pid,
			Bundle: o.Bundle, Annotations: o.Spec.Annotations})
	}
	if err == nil {
		err = ch.setUp(config)
	}
	// The rest of the cgroup takes as long as the init takes to get to its main and
	// to mount most of its root. It is not begun before: mkdir and clone would wait
	// for each other's lock.
	if err == nil {
		err = group.finish(ctx, o, ch.pid)
	}
	if err == nil {
		group.doors, err = r.doors(group.Group, o.Spec)
	}
	defer func() { closeAll(group.doors) }()
	if err == nil {
		var more []*os.File
		more, err = makeResctrl(o.ID, o.Spec.Linux.IntelRdt, back)
		group.doors = append(group.doors, more...)
	}
	if err == nil {
		err = ch.open(group.doors)
	}
	if err == nil && o.Started != nil {
		err = o.Started(ch.pid)
	}
	return ch, group.warnings, err
}

// newCgroup is a container's cgroup while it comes about.
type newCgroup struct {
	*cgroup.Group // nil: the container has none of its own
	warnings      []string
	complete      bool
	unit, path    string // systemd's, once it has begun
	doors         []*os.File
}

// beginCgroup makes what the init is born in; finish makes the rest.
func beginCgroup(o CreateOptions) (*newCgroup, error) {
	n, path := &newCgroup{}, o.Spec.Linux.CgroupsPath
	if path == "" || o.Unit != nil {
		return n, nil
	}
	var err error
	if n.Group, err = cgroup.Begin(path); err != nil {
		return nil, fmt.Errorf("create cgroup %s: %w", path, err)
	}
	return n, nil
}

// finish makes the rest of the cgroup, which the init pid enters by the doors.
func (n *newCgroup) finish(ctx context.Context, o CreateOptions, pid int) (err error) {
	if o.Unit != nil {
		return n.startUnit(ctx, o, pid)
	}
	if n.Group == nil {
		return nil
	}
	n.warnings, err = n.Complete(cgroupOptions(o))
	if err != nil {
		return fmt.Errorf("create cgroup %s: %w", o.Spec.Linux.CgroupsPath, err)
	}
	n.complete = true
	return nil
}

// tightLimit is more memory than an init ever has.
const tightLimit = 16 << 20

// tight is whether an init that is born in its cgroup might not live there: what
// it needs before it turns into the program, some 3 MiB, would be within the
// limit. On v1 it enters late in any case.
func (r *Runtime) tight(spec *specs.Spec) bool {
	res := spec.Linux.Resources
	return r.unified() && res != nil && res.Memory != nil && res.Memory.Limit != nil && *res.Memory.Limit > 0 && *res.Memory.Limit < tightLimit
}

// doors are by what an init enters the groups that it is not born in.
func (r *Runtime) doors(group *cgroup.Group, spec *specs.Spec) ([]*os.File, error) {
	if group == nil {
		return nil, nil
	}
	if r.tight(spec) {
		door, err := os.OpenFile(filepath.Join(group.Dir(), "cgroup.procs"), os.O_WRONLY, 0)
		if err != nil {
			return nil, fmt.Errorf("open cgroup: %w", err)
		}
		return []*os.File{door}, nil
	}
	return group.Doors()
}

// undo removes the cgroup after its processes were killed.
func (n *newCgroup) undo(ctx context.Context) error {
	switch {
	case n.unit != "":
		return RemoveUnit(ctx, n.unit, n.path)
	case n.Group == nil:
		return nil
	case !n.complete:
		n.Discard()
		return nil
	}
	return n.Remove(ctx)
}

// Exec starts one more process in a running container; when it returns the
// program runs and the caller waits for it.
func (r *Runtime) Exec(ctx context.Context, o ExecOptions) (_ *Process, err error) {
	p, err := newPlan(o.Spec)
	if err != nil {
		return nil, err
	}
	if o.Process == nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("exec without a process")
	}
	filter, err := r.filter(o.Spec.Linux.Seccomp)
	if err != nil {
		return nil, err
	}
	attrs, err := attributes.Resolve(o.Process, o.Spec.Linux, hostOf(o.Process))
	if err != nil {
		return nil, err
	}
	initial, final, err := attributes.Affinity(o.Process.ExecCPUAffinity)
	if err != nil {
		return nil, err
	}
	attrs.Affinity = final
	target, err := openPidfd(o.Pid)
	if err != nil {
		return nil, err
	}
	defer target.Close()
	var back undo.Stack
	defer back.OnError(ctx, &err)
	config := &wire.Config{Exec: true, Process: o.Process, Attributes: attrs, Seccomp: filter,
		Preserved: numbers(o.ExtraFiles), ListenFDs: o.ListenFDs}
	s := start{extra: target, stdio: o.Stdio, terminal: o.Process.Terminal, extras: o.ExtraFiles, affinity: initial}
	var group *cgroup.Group
	if o.CgroupPath != "" {
		group = cgroup.Open(o.CgroupPath)
	}
	if !r.tight(o.Spec) {
		s.group = group
	}
	s.enter(config, p, o)
	if !config.Joined {
		if s.root, err = rootOf(o.Pid, target); err != nil {
			return nil, goneOr(target, err)
		}
		defer s.root.Close()
	}
	ch, err := r.startBeside(ctx, &s, o)
	if err != nil {
		return nil, goneOr(target, err)
	}
	back.Add(ch.kill)
	doors, err := r.doors(group, o.Spec)
	if err != nil {
		return nil, goneOr(target, err)
	}
	defer closeAll(doors)
	if rdt := o.Spec.Linux.IntelRdt; rdt != nil {
		more, err := resctrl.Doors(resctrl.Root, o.ID, rdt)
		if err != nil {
			return nil, goneOr(target, err)
		}
		defer closeAll(more)
		doors = append(doors, more...)
	}
	err = listenerFor(config, o.Spec.Linux.Seccomp, ch.pid, specs.State{ID: o.ID, Status: specs.StateRunning, Pid: o.Pid,
		Bundle: o.Bundle, Annotations: o.Spec.Annotations})
	if err == nil {
		err = errors.Join(ch.setUp(config), ch.open(doors))
	}
	if err != nil {
		return nil, goneOr(target, err)
	}
	if _, err := ch.listen(ctx); err != nil {
		return nil, goneOr(target, err)
	}
	ch.conn.Close()
	return &Process{Pid: ch.pid, Pidfd: ch.pidfd, Console: ch.console, Warnings: ch.warnings}, nil
}

// startBeside starts an init in the container's cgroup. On v2 a container that
// has handed controllers down has its processes in groups below: then the init
// joins that of the container's first process. Where the kernel lets only systemd
// move a process there, as from a user's session, systemd does.
func (r *Runtime) startBeside(ctx context.Context, s *start, o ExecOptions) (*child, error) {
	ch, err := r.start(*s)
	if errors.Is(err, unix.EACCES) && s.group != nil && o.Unit != nil {
		s.group = nil
		if ch, err = r.start(*s); err != nil {
			return nil, err
		}
		if err := attachToUnit(ctx, o, ch.pid); err != nil {
			return nil, errors.Join(err, ch.kill(ctx))
		}
		return ch, nil
	}
	if !errors.Is(err, unix.EBUSY) || s.group == nil {
		return ch, err
	}
	if s.group, err = s.group.Of(o.Pid); err != nil {
		return nil, err
	}
	return r.start(*s)
}

// rootOf opens the root directory of the process pid, which pidfd is of. Joining
// a mount namespace leads to the root of that namespace, which is another one if
// the container was made in a chroot.
func rootOf(pid int, pidfd *os.File) (*os.File, error) {
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the container's root: %w", err)
	}
	// Alive now, so the number was not another's then.
	if err := unix.PidfdSendSignal(int(rawFd(pidfd)), 0, nil, 0); err != nil {
		root.Close()
		return nil, fmt.Errorf("open the container's root: %w", err)
	}
	return root, nil
}
