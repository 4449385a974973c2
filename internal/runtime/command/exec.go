package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/leanjson"
	"github.com/berth-containers/berth/internal/runtime"
)

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

type execFlags struct {
	process, user, cwd, console, pidFile *string
	tty, detach, noNewPrivs              *bool
	env, caps                            list
}

func runExec(e *env, flags *flag.FlagSet, args []string) error {
	f := &execFlags{
		process: stringFlag(flags, "process", "p", "", "file with the process's specification"),
		user:    stringFlag(flags, "user", "u", "", "UID[:GID]"),
		cwd:     stringFlag(flags, "cwd", "", "", "working directory"),
		console: stringFlag(flags, "console-socket", "", "", "unix socket that gets the terminal's master"),
		pidFile: stringFlag(flags, "pid-file", "", "", "file for the process ID"),
		tty:     boolFlag(flags, "tty", "t", "give the process a terminal"),
		detach:  boolFlag(flags, "detach", "d", "do not wait for the process"),

		noNewPrivs: boolFlag(flags, "no-new-privs", "", "set no_new_privs"),
	}
	flags.Var(&f.env, "env", "environment variable")
	flags.Var(&f.env, "e", "short for --env")
	flags.Var(&f.caps, "cap", "more capabilities")
	flags.Var(&f.caps, "c", "short for --cap")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() < 1 {
		return errors.New("exec takes the container's ID and a command")
	}
	s, err := e.load(flags.Arg(0))
	if err != nil {
		return err
	}
	if status := s.status(); status != specs.StateRunning {
		return fmt.Errorf("cannot exec in container %s: it is %s", s.ID, status)
	}
	process, err := f.specification(s, flags.Args()[1:])
	if err != nil {
		return err
	}
	r, err := runtime.New(e.initBinary)
	if err != nil {
		return err
	}
	p, err := r.Exec(context.Background(), runtime.ExecOptions{Pid: s.Pid, CgroupPath: s.Cgroup, Spec: s.Spec,
		Process: process, Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		e.code = 255
		return err
	}
	if err := writePidFile(*f.pidFile, p.Pid); err != nil {
		return err
	}
	if *f.console != "" && p.Console != nil {
		if err := sendConsole(*f.console, p.Console); err != nil {
			return err
		}
		p.Console = nil
	}
	if *f.detach {
		return nil
	}
	e.code, err = attend(p.Pid, p.Pidfd, p.Console)
	return err
}

// specification is the file's, or the container's own with the flags on it.
func (f *execFlags) specification(s *state, args []string) (*specs.Process, error) {
	if *f.process != "" {
		b, err := os.ReadFile(*f.process)
		if err != nil {
			return nil, err
		}
		p := &specs.Process{}
		if err := leanjson.Unmarshal(b, p); err != nil {
			return nil, fmt.Errorf("read %s: %w", *f.process, err)
		}
		return p, nil
	}
	if len(args) == 0 {
		return nil, errors.New("exec needs a command, or --process with a file")
	}
	p := *s.Spec.Process
	p.Args, p.Terminal = args, *f.tty
	p.Env = append(append([]string{}, p.Env...), f.env...)
	if *f.cwd != "" {
		p.Cwd = *f.cwd
	}
	if *f.user != "" {
		p.User = specs.User{Username: *f.user}
	}
	p.NoNewPrivileges = p.NoNewPrivileges || *f.noNewPrivs
	if len(f.caps) > 0 && p.Capabilities != nil {
		c := *p.Capabilities
		for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted} {
			*set = append(append([]string{}, *set...), f.caps...)
		}
		p.Capabilities = &c
	}
	return &p, nil
}
