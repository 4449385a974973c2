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
)

type createFlags struct {
	bundle, console, pidFile *string
	preserve                 *int
}

func newCreateFlags(flags *flag.FlagSet) createFlags {
	flags.Bool("no-pivot", false, "accepted for compatibility")
	flags.Bool("no-new-keyring", false, "accepted for compatibility")
	return createFlags{
		bundle:   stringFlag(flags, "bundle", "b", ".", "directory with config.json"),
		console:  stringFlag(flags, "console-socket", "", "", "unix socket that gets the terminal's master"),
		pidFile:  stringFlag(flags, "pid-file", "", "", "file for the process ID"),
		preserve: flags.Int("preserve-fds", 0, "not supported by this version"),
	}
}

// made is a container between its creation and what the command does with it.
type made struct {
	*runtime.Container
	state   *state
	runtime *runtime.Runtime
}

// create makes the container; with gate it waits for another process's start.
func (e *env) create(id string, f createFlags, gate bool) (m *made, err error) {
	if *f.preserve != 0 {
		return nil, errors.New("--preserve-fds is not supported by this version of berth-runtime")
	}
	s, err := e.prepare(id, *f.bundle)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	}()
	if s.Spec.Process != nil && s.Spec.Process.Terminal && *f.console == "" && gate {
		return nil, errors.New("cannot allocate tty if runc will detach without setting console socket")
	}
	r, err := runtime.New(e.initBinary)
	if err != nil {
		return nil, err
	}
	o := runtime.CreateOptions{ID: id, Spec: s.Spec, Bundle: s.Bundle, HoldMounts: !gate,
		Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr}}
	if gate {
		if o.Gate, err = runtime.NewGate(s.socket()); err != nil {
			return nil, err
		}
		defer o.Gate.Close()
	}
	// What has to do with our side is done while the init makes the container.
	o.Started = func(pid int) error {
		s.Pid, s.Cgroup = pid, s.Spec.Linux.CgroupsPath
		s.Started, _ = startTime(pid)
		return s.save()
	}
	c, err := r.Create(context.Background(), o)
	if err != nil {
		return nil, err
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(e.err, "berth-runtime: warning: %s\n", w)
	}
	if *f.console != "" && c.Console != nil {
		err = sendConsole(*f.console, c.Console)
	}
	if err == nil {
		err = writePidFile(*f.pidFile, c.Pid)
	}
	if err != nil {
		return nil, errors.Join(err, c.Abort())
	}
	return &made{Container: c, state: s, runtime: r}, nil
}

// prepare reads the bundle and takes the ID.
func (e *env) prepare(id, bundle string) (*state, error) {
	dir, err := e.dir(id)
	if err != nil {
		return nil, err
	}
	bundle, err = filepath.Abs(bundle)
	if err != nil {
		return nil, err
	}
	spec, err := readSpec(bundle)
	if err != nil {
		return nil, err
	}
	if spec.Linux == nil {
		spec.Linux = &specs.Linux{}
	}
	if spec.Linux.CgroupsPath == "" {
		spec.Linux.CgroupsPath = "/" + id
	}
	if err := os.MkdirAll(e.root, 0o700); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("container with given ID already exists: %s; delete it first", id)
		}
		return nil, err
	}
	return &state{ID: id, Bundle: bundle, Created: time.Now().UTC(), Spec: spec, dir: dir}, nil
}

func runCreate(e *env, flags *flag.FlagSet, args []string) error {
	f := newCreateFlags(flags)
	id, err := one(flags, args)
	if err != nil {
		return err
	}
	m, err := e.create(id, f, true)
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
	if status := s.status(); status != specs.StateCreated {
		return fmt.Errorf("cannot start container %s: it is %s", id, status)
	}
	err = runtime.StartThrough(context.Background(), s.socket())
	return errors.Join(err, os.Remove(s.socket()))
}

func runRun(e *env, flags *flag.FlagSet, args []string) error {
	f := newCreateFlags(flags)
	detach := boolFlag(flags, "detach", "d", "do not wait for the container")
	keep := flags.Bool("keep", false, "keep the state after the container's end")
	flags.Bool("no-subreaper", false, "accepted for compatibility")
	id, err := one(flags, args)
	if err != nil {
		return err
	}
	m, err := e.create(id, f, false)
	if err != nil {
		return err
	}
	if err := m.Start(); err != nil {
		return errors.Join(err, os.RemoveAll(m.state.dir))
	}
	if *detach {
		return nil
	}
	// To take down the mount of the init's binary waits for the kernel: now there
	// is time.
	if err := m.runtime.Close(); err != nil {
		return err
	}
	console := m.Console
	if *f.console != "" {
		console = nil
	}
	e.code, err = attend(m.Pid, m.Pidfd, console)
	// The kernel takes the mounts down while we take the rest away.
	unmounted := make(chan error, 1)
	go func() { unmounted <- m.Mounts.Close() }()
	if !*keep {
		err = errors.Join(err, m.runtime.RemoveCgroup(m.CgroupPath), os.RemoveAll(m.state.dir))
	}
	return errors.Join(err, <-unmounted)
}
