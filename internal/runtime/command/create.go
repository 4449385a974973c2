package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/runtime"
	"github.com/berth-containers/berth/internal/runtime/command/state"
	"github.com/berth-containers/berth/internal/sys/cgroup"
)

type createFlags struct {
	handover
	bundle           *string
	noPivot, keyring *bool
}

func newCreateFlags(flags *flag.FlagSet) createFlags {
	return createFlags{
		handover: newHandover(flags),
		bundle:   stringFlag(flags, "bundle", "b", ".", "directory with config.json"),
		noPivot:  flags.Bool("no-pivot", false, "enter the root by chroot: the host's is an initramfs"),
		keyring:  flags.Bool("no-new-keyring", false, "stay in the caller's session keyring"),
	}
}

// made is a container between its creation and what the command does with it.
type made struct {
	*runtime.Container
	state   *state.State
	runtime *runtime.Runtime
}

// create makes the container; with gate it waits for another process's start.
func (e *env) create(id string, f createFlags, gate, detach bool) (_ *made, err error) {
	o := runtime.CreateOptions{ID: id, Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr}, NoPivot: *f.noPivot, KeepKeyring: *f.keyring}
	// First: a descriptor that is not open has the number of our next.
	if o.ExtraFiles, o.ListenFDs, err = f.files(); err != nil {
		return nil, err
	}
	s, text, err := e.prepare(&o, *f.bundle)
	if err != nil {
		return nil, err
	}
	if err := f.check(o.Spec.Process.Terminal, detach); err != nil {
		return nil, err
	}
	if err := e.take(s); err != nil {
		return nil, err
	}
	if err := cover(s, o.Spec); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	// What has to do with our side is done while the init makes the container.
	o.Started = func(pid int) error { return errors.Join(keep(s, pid, text, o.Spec.Hooks != nil), f.note(pid)) }
	o.HoldMounts = !detach
	m, err := e.make(s, o, gate)
	if err != nil {
		e.poststop(s)
		return nil, errors.Join(err, f.forget(), s.Remove())
	}
	err = f.give(m.Pidfd, m.Console)
	if err == nil && s.Creator != nil {
		s.Creator = nil
		err = s.Save()
	}
	if err != nil {
		err = errors.Join(err, f.forget(), m.Abort())
		e.poststop(s)
		return nil, errors.Join(err, s.Remove())
	}
	return m, nil
}

// keep writes what the commands after this one need.
func keep(s *state.State, pid int, config []byte, hooks bool) error {
	s.Process = state.ProcessOf(pid)
	if hooks {
		self := state.ProcessOf(os.Getpid())
		s.Creator = &self
	}
	return errors.Join(s.SaveConfig(config), s.Save())
}

// make runs the runtime. On failure nothing is left but the state.
func (e *env) make(s *state.State, o runtime.CreateOptions, gate bool) (*made, error) {
	r, err := runtime.New(e.initBinary)
	if err != nil {
		return nil, err
	}
	if gate {
		if o.Gate, err = runtime.NewGate(s.Socket()); err != nil {
			return nil, err
		}
		defer o.Gate.Close()
	}
	c, err := r.Create(context.Background(), o)
	if err != nil {
		return nil, err
	}
	e.log.warnings(c.Warnings)
	e.log.debug("created container %s: process %d, cgroup %s", s.ID, c.Pid, c.CgroupPath)
	return &made{Container: c, state: s, runtime: r}, nil
}

// prepare reads the bundle and completes o.
func (e *env) prepare(o *runtime.CreateOptions, bundle string) (*state.State, []byte, error) {
	var err error
	if o.Bundle, err = filepath.Abs(bundle); err != nil {
		return nil, nil, err
	}
	spec, text, err := readSpec(o.Bundle)
	if err != nil {
		return nil, nil, err
	}
	o.Spec = spec
	s := &state.State{ID: o.ID, Bundle: o.Bundle, Created: time.Now().UTC(), Annotations: spec.Annotations}
	if err := e.place(s, o); err != nil {
		return nil, nil, err
	}
	if spec.Root != nil {
		s.Rootfs = spec.Root.Path
		if !filepath.IsAbs(s.Rootfs) {
			s.Rootfs = filepath.Join(o.Bundle, s.Rootfs)
		}
	}
	if spec.Hooks != nil {
		s.Poststart, s.Poststop = spec.Hooks.Poststart, spec.Hooks.Poststop
	}
	return s, text, nil
}

// place decides about the container's cgroup.
func (e *env) place(s *state.State, o *runtime.CreateOptions) (err error) {
	path := &o.Spec.Linux.CgroupsPath
	if !e.systemd {
		err = e.placeCgroup(o.ID, o.Spec.Linux)
		s.Cgroup = *path
		return err
	}
	if *path == "" {
		*path = ":berth:" + o.ID
	}
	if o.Unit, err = runtime.PlaceUnit(context.Background(), *path, o.Spec.Annotations); err != nil {
		return err
	}
	s.Cgroup, s.Unit = o.Unit.Path, o.Unit.Name
	return nil
}

// take makes the ID and the cgroup the container's.
func (e *env) take(s *state.State) error {
	if err := e.store.Take(s); err != nil {
		return explainRoot(e.store.Root, err)
	}
	if s.Cgroup == "" {
		return nil
	}
	err := unused(s.Cgroup)
	if err == nil {
		err = s.Claim()
	}
	if err != nil {
		return errors.Join(err, s.Remove())
	}
	return nil
}

// cover notes that the mounts will be in our own namespace.
func cover(s *state.State, spec *specs.Spec) error {
	if spec.Linux == nil || spec.Root == nil || !runtime.InheritsMounts(spec.Linux) {
		return nil
	}
	before, err := runtime.RootMount(s.Rootfs)
	if err != nil {
		return err
	}
	return s.Cover(before)
}

// unused refuses a cgroup with processes in it, before the state says that it is
// the container's to remove.
func unused(path string) error {
	pids, err := cgroup.Open(path).Pids()
	if err == nil && len(pids) > 0 {
		return fmt.Errorf("linux.cgroupsPath %q is in use: %d processes are in the cgroup, process %d first; name another, or end them", path, len(pids), pids[0])
	}
	return nil // not there, or what cgroup.Create tells better
}

func runCreate(e *env, flags *flag.FlagSet, args []string) error {
	f := newCreateFlags(flags)
	id, err := one(flags, args)
	if err != nil {
		return err
	}
	m, err := e.create(id, f, true, true)
	if err != nil {
		return err
	}
	return m.Release()
}

func runStart(e *env, flags *flag.FlagSet, args []string) error {
	id, s, err := e.named(flags, args)
	if err != nil {
		return err
	}
	if status := s.Status(); status != specs.StateCreated {
		return fmt.Errorf("cannot start container %s: it is %s", id, status)
	}
	warnings, err := runtime.StartThrough(context.Background(), s.Socket())
	e.log.warnings(warnings)
	if err != nil {
		return err
	}
	return e.poststart(s)
}

func runRun(e *env, flags *flag.FlagSet, args []string) error {
	f := newCreateFlags(flags)
	detach := boolFlag(flags, "detach", "d", "do not wait for the container")
	keep := flags.Bool("keep", false, "keep the state after the container's end")
	noSubreaper := flags.Bool("no-subreaper", false, "leave orphans of the container to the host's first process")
	id, err := one(flags, args)
	if err != nil {
		return err
	}
	if !*detach && !*noSubreaper {
		if err := adopt(); err != nil {
			return err
		}
	}
	m, err := e.create(id, f, false, *detach)
	if err != nil {
		return err
	}
	created := len(m.Warnings)
	err = m.Start()
	e.log.warnings(m.Warnings[created:])
	if err != nil {
		e.poststop(m.state)
		return errors.Join(err, m.state.Remove())
	}
	if err := e.poststart(m.state); err != nil {
		return errors.Join(err, e.destroy(m.state))
	}
	if *detach {
		return nil
	}
	return e.wait(m, f, *keep)
}

// wait is the rest of run: to the container's end and after.
func (e *env) wait(m *made, f createFlags, keep bool) error {
	// To take down the mount of the init's binary waits for the kernel: now there
	// is time.
	if err := m.runtime.Close(); err != nil {
		return err
	}
	console := m.Console
	if *f.console != "" {
		console = nil
	}
	var err error
	e.code, err = attend(m.Pid, m.Pidfd, console)
	// The kernel takes the mounts down while we take the rest away.
	unmounted := make(chan error, 1)
	go func() { unmounted <- m.Mounts.Close() }()
	if !keep {
		err = errors.Join(err, e.destroy(m.state))
	}
	return errors.Join(err, <-unmounted)
}
