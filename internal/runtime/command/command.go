// Package command is the command line of berth-runtime: the OCI runtime's
// verbs with runc's flags, so that other engines can use it.
//
// What a container is known by between two commands is package state's. A
// command that is killed at any step leaves nothing that delete --force does not
// take away.
package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/command/state"
	"github.com/berth-containers/berth/internal/version"
)

// env is what a command works with.
type env struct {
	store      state.Store
	initBinary string
	log        *log
	systemd    bool // makes the cgroups
	out        io.Writer
	err        io.Writer
	code       int // exit code, if the command decides it
}

type command struct {
	name  string
	usage string
	run   func(e *env, flags *flag.FlagSet, args []string) error
}

func commands() []command {
	return []command{
		{"create", "[flags] ID", runCreate},
		{"start", "ID", runStart},
		{"run", "[flags] ID", runRun},
		{"exec", "[flags] ID COMMAND [ARG...]  or  exec [flags] --process FILE ID", runExec},
		{"state", "ID", runState},
		{"kill", "[--all] ID [SIGNAL]", runKill},
		{"delete", "[--force] ID", runDelete},
		{"ps", "[--format table|json] ID [PS-OPTION...]", runPs},
		{"list", "[--format table|json] [--quiet]", runList},
		{"pause", "ID", runPause},
		{"resume", "ID", runResume},
		{"update", "[flags] ID", runUpdate},
		{"events", "[--interval TIME] [--stats] ID", runEvents},
		{"checkpoint", "[flags] ID", runCheckpoint},
		{"restore", "[flags] ID", runRestore},
		{"spec", "[--bundle DIR] [--rootless]", runSpec},
		{"features", "", runFeatures},
	}
}

// Main runs one command and returns the exit code. initBinary is found beside
// the own binary or by PATH.
func Main(args []string, initBinary string) int {
	// What the caller left open is nothing to a hook or a container. The numbers
	// of --preserve-fds are given on by name.
	_ = unix.CloseRange(3, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC)
	e := &env{initBinary: initBinary, out: os.Stdout, err: os.Stderr, log: &log{err: os.Stderr}}
	err := e.main(args)
	if err == nil {
		return e.code
	}
	e.log.error(err)
	return max(e.code, 1)
}

func (e *env) main(args []string) error {
	global := flag.NewFlagSet("berth-runtime", flag.ContinueOnError)
	global.SetOutput(io.Discard)
	global.StringVar(&e.store.Root, "root", defaultRoot(), "directory of the containers' states")
	global.StringVar(&e.log.path, "log", "", "file for warnings and errors")
	global.StringVar(&e.log.format, "log-format", "text", "text or json")
	global.BoolVar(&e.log.verbose, "debug", false, "log each step")
	global.BoolVar(&e.systemd, "systemd-cgroup", false, "let systemd make the cgroups: cgroupsPath is slice:prefix:name")
	// What a user may not do shows each time it is tried.
	rootless := global.String("rootless", "auto", "true, false or auto: makes no difference")
	var showVersion bool
	global.BoolVar(&showVersion, "version", false, "print the version")
	global.BoolVar(&showVersion, "v", false, "print the version")
	err := global.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		e.usage(global)
		return nil
	}
	if err != nil {
		return err
	}
	if err := oneOf("--log-format", e.log.format, "text", "json"); err != nil {
		return err
	}
	if err := oneOf("--rootless", *rootless, "true", "false", "auto"); err != nil {
		return err
	}
	if showVersion {
		_, err := fmt.Fprintf(e.out, "berth-runtime version %s\nspec: %s\n", version.Version, specs.Version)
		return err
	}
	name := global.Arg(0)
	if name == "" || name == "help" {
		e.usage(global)
		return nil
	}
	for _, c := range commands() {
		if c.name == name {
			return e.run(c, global.Args()[1:])
		}
	}
	return fmt.Errorf("unknown command %q; berth-runtime help lists them", name)
}

func (e *env) run(c command, args []string) error {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	e.log.debug("%s %q", c.name, args)
	err := c.run(e, flags, args)
	if !errors.Is(err, flag.ErrHelp) {
		return err
	}
	e.code = 0
	fmt.Fprintf(e.err, "usage: berth-runtime %s %s\n", c.name, c.usage)
	flags.SetOutput(e.err)
	flags.PrintDefaults()
	return nil
}

func (e *env) usage(global *flag.FlagSet) {
	fmt.Fprintln(e.err, "usage: berth-runtime [flags] COMMAND, where COMMAND is one of")
	for _, c := range commands() {
		fmt.Fprintf(e.err, "  %s %s\n", c.name, c.usage)
	}
	global.SetOutput(e.err)
	global.PrintDefaults()
}

// pidFile is the file of --pid-file; empty: none.
type pidFile string

// beside is where it lies until it is whole and its process is there: its reader
// may be waiting for it.
func (p pidFile) beside() string {
	return filepath.Join(filepath.Dir(string(p)), "."+filepath.Base(string(p)))
}

func (p pidFile) write(pid int) error {
	if p == "" {
		return nil
	}
	if err := os.WriteFile(p.beside(), fmt.Append(nil, pid), 0o644); err != nil {
		return fmt.Errorf("write --pid-file: %w", err)
	}
	return nil
}

func (p pidFile) show() error {
	if p == "" {
		return nil
	}
	return os.Rename(p.beside(), string(p))
}

func (p pidFile) forget() error {
	if p == "" {
		return nil
	}
	if err := os.Remove(p.beside()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
