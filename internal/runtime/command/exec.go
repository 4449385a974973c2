package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/leanjson"
	"github.com/berth-containers/berth/internal/runtime"
	"github.com/berth-containers/berth/internal/runtime/command/state"
)

type execFlags struct {
	handover
	process, user, cwd, cgroup, apparmor, label *string
	tty, detach, noNewPrivs, paused, orphans    *bool
	env, caps, groups                           *list
}

func newExecFlags(flags *flag.FlagSet) execFlags {
	return execFlags{
		handover: newHandover(flags),
		process:  stringFlag(flags, "process", "p", "", "file with the process's specification"),
		user:     stringFlag(flags, "user", "u", "", "UID[:GID]"),
		cwd:      stringFlag(flags, "cwd", "", "", "working directory"),
		cgroup:   stringFlag(flags, "cgroup", "", "", "cgroup below the container's"),
		apparmor: stringFlag(flags, "apparmor", "", "", "AppArmor profile"),
		label:    stringFlag(flags, "process-label", "", "", "SELinux label"),
		tty:      boolFlag(flags, "tty", "t", "give the process a terminal"),
		detach:   boolFlag(flags, "detach", "d", "do not wait for the process"),

		noNewPrivs: boolFlag(flags, "no-new-privs", "", "set no_new_privs"),
		paused:     boolFlag(flags, "ignore-paused", "", "start the process in a paused container too"),
		orphans:    boolFlag(flags, "no-subreaper", "", "leave orphans of the process to the host's first process"),
		env:        listFlag(flags, "env", "e", "environment variable"),
		caps:       listFlag(flags, "cap", "c", "one more capability"),
		groups:     listFlag(flags, "additional-gids", "g", "one more group"),
	}
}

func runExec(e *env, flags *flag.FlagSet, args []string) error {
	e.code = 255 // of what is not the process's
	f := newExecFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() < 1 {
		return errors.New("exec takes the container's ID and a command")
	}
	files, listen, err := f.files()
	if err != nil {
		return err
	}
	s, err := e.store.Load(flags.Arg(0))
	if err != nil {
		return err
	}
	o, err := f.options(s, flags.Args()[1:])
	if err != nil {
		return err
	}
	o.ExtraFiles, o.ListenFDs = files, listen
	if !*f.detach && !*f.orphans {
		if err := adopt(); err != nil {
			return err
		}
	}
	return e.exec(o, f)
}

// options are what the flags make of the container.
func (f execFlags) options(s *state.State, args []string) (o runtime.ExecOptions, err error) {
	switch status := s.Status(); {
	case status == state.Paused && !*f.paused:
		return o, fmt.Errorf("cannot exec in container %s: it is paused; resume it, or give --ignore-paused", s.ID)
	case status == specs.StateStopped || status == specs.StateCreating:
		return o, fmt.Errorf("cannot exec in container %s: it is %s", s.ID, status)
	}
	o = runtime.ExecOptions{ID: s.ID, Bundle: s.Bundle, Pid: s.Process.Pid, CgroupPath: s.Cgroup, Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr}}
	if s.Unit != "" {
		o.Unit = &runtime.Unit{Path: s.Cgroup}
		o.Unit.Name = s.Unit
	}
	if o.Spec, err = s.Config(); err != nil {
		return o, err
	}
	if o.Process, err = f.specification(o.Spec.Process, args); err != nil {
		return o, err
	}
	if sub := *f.cgroup; sub != "" {
		if strings.Contains(sub, ":") {
			return o, fmt.Errorf("--cgroup %q names a controller: give a path below the container's cgroup, which is taken in each hierarchy", sub)
		}
		o.CgroupPath = path.Join(s.Cgroup, path.Clean("/"+sub))
	}
	return o, f.check(o.Process.Terminal, *f.detach)
}

func (e *env) exec(o runtime.ExecOptions, f execFlags) error {
	r, err := runtime.New(e.initBinary)
	if err != nil {
		return err
	}
	p, err := r.Exec(context.Background(), o)
	if err != nil {
		return err
	}
	e.log.warnings(p.Warnings)
	if err = f.note(p.Pid); err == nil {
		err = f.give(p.Pidfd, p.Console)
	}
	if err != nil {
		return errors.Join(err, f.forget(), end(p))
	}
	e.code = 0
	if *f.detach {
		return nil
	}
	if *f.console != "" {
		p.Console = nil
	}
	e.code, err = attend(p.Pid, p.Pidfd, p.Console)
	return err
}

// specification is the file's, or the container's own with the flags on it.
func (f execFlags) specification(own *specs.Process, args []string) (*specs.Process, error) {
	if *f.process != "" {
		b, err := os.ReadFile(*f.process)
		if err != nil {
			return nil, err
		}
		p := &specs.Process{}
		if err := leanjson.Unmarshal(b, p); err != nil {
			return nil, fmt.Errorf("read %s: %w", *f.process, err)
		}
		if err := checkProcess(p); err != nil {
			return nil, fmt.Errorf("%s: %w", *f.process, err)
		}
		return p, nil
	}
	if len(args) == 0 {
		return nil, errors.New("exec needs a command, or --process with a file")
	}
	p := *own
	p.Args, p.Terminal = args, *f.tty
	p.Env = slices.Concat(p.Env, *f.env)
	if *f.cwd != "" {
		p.Cwd = *f.cwd
	}
	if *f.user != "" {
		p.User = specs.User{Username: *f.user}
	}
	if *f.apparmor != "" {
		p.ApparmorProfile = *f.apparmor
	}
	if *f.label != "" {
		p.SelinuxLabel = *f.label
	}
	p.NoNewPrivileges = p.NoNewPrivileges || *f.noNewPrivs
	if len(*f.caps) > 0 {
		p.Capabilities = withCaps(p.Capabilities, *f.caps)
	}
	p.User.AdditionalGids = slices.Clone(p.User.AdditionalGids)
	for _, g := range *f.groups {
		gid, err := strconv.ParseUint(g, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("--additional-gids %q is not a group's number", g)
		}
		p.User.AdditionalGids = append(p.User.AdditionalGids, uint32(gid))
	}
	return &p, nil
}

// withCaps adds to the sets that a program of root's gets.
func withCaps(own *specs.LinuxCapabilities, more []string) *specs.LinuxCapabilities {
	c := specs.LinuxCapabilities{}
	if own != nil {
		c = *own
	}
	for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted} {
		*set = slices.Concat(*set, more)
	}
	return &c
}
