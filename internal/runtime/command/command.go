// Package command is the command line of berth-runtime: the OCI runtime's
// verbs with runc's flags, so that other engines can use it.
//
// <root>/<id>/state.json is what a container is known by between two commands;
// start.sock beside it exists until the container is started. After a crash the
// directory is stale, and delete takes it and the cgroup away.
package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/leanjson"
	"github.com/berth-containers/berth/internal/version"
)

// env is what a command works with.
type env struct {
	root       string // directory of the states
	initBinary string
	log        string
	logFormat  string
	out        io.Writer
	err        io.Writer
	code       int // exit code, if the command decides it
}

type command struct {
	usage string
	run   func(e *env, flags *flag.FlagSet, args []string) error
}

func commands() map[string]command {
	return map[string]command{
		"create":   {"create [--bundle DIR] [--console-socket PATH] [--pid-file FILE] ID", runCreate},
		"run":      {"run [--bundle DIR] [--detach] [--keep] [--console-socket PATH] [--pid-file FILE] ID", runRun},
		"start":    {"start ID", runStart},
		"state":    {"state ID", runState},
		"kill":     {"kill [--all] ID [SIGNAL]", runKill},
		"delete":   {"delete [--force] ID", runDelete},
		"exec":     {"exec [--process FILE] [--tty] [--detach] [--user UID[:GID]] [--cwd DIR] [--env K=V] ID COMMAND [ARG...]", runExec},
		"ps":       {"ps [--format table|json] ID", runPs},
		"list":     {"list [--format table|json] [--quiet]", runList},
		"pause":    {"pause ID", runPause},
		"resume":   {"resume ID", runResume},
		"spec":     {"spec [--bundle DIR]", runSpec},
		"features": {"features", runFeatures},
	}
}

// later are runc's verbs that this version refuses by name.
var later = map[string]bool{"checkpoint": true, "restore": true, "update": true, "events": true}

// Main runs one command and returns the exit code. initBinary is found beside
// the own binary or by PATH.
func Main(args []string, initBinary string) int {
	e := &env{initBinary: initBinary, out: os.Stdout, err: os.Stderr}
	if err := e.main(args); err != nil {
		e.report(err)
		return max(e.code, 1)
	}
	return e.code
}

func (e *env) main(args []string) error {
	global := flag.NewFlagSet("berth-runtime", flag.ContinueOnError)
	global.SetOutput(e.err)
	global.StringVar(&e.root, "root", "/run/berth-runtime", "directory of the containers' states")
	global.StringVar(&e.log, "log", "", "file for errors, besides stderr")
	global.StringVar(&e.logFormat, "log-format", "text", "text or json")
	global.Bool("debug", false, "accepted for compatibility")
	global.Bool("systemd-cgroup", false, "accepted for compatibility")
	global.String("rootless", "auto", "accepted for compatibility")
	var showVersion bool
	global.BoolVar(&showVersion, "version", false, "print the version")
	global.BoolVar(&showVersion, "v", false, "print the version")
	global.Usage = func() { e.usage(global) }
	if err := global.Parse(args); err != nil {
		return ignoreHelp(err)
	}
	if showVersion {
		return printVersion(e.out)
	}
	name := global.Arg(0)
	c, ok := commands()[name]
	switch {
	case name == "" || name == "help":
		e.usage(global)
		return nil
	case later[name]:
		return fmt.Errorf("%s is not supported by this version of berth-runtime", name)
	case !ok:
		return fmt.Errorf("unknown command %q; berth-runtime help lists them", name)
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(e.err)
	flags.Usage = func() {
		fmt.Fprintf(e.err, "usage: berth-runtime %s\n", c.usage)
		flags.PrintDefaults()
	}
	return ignoreHelp(c.run(e, flags, global.Args()[1:]))
}

func ignoreHelp(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

func (e *env) usage(global *flag.FlagSet) {
	fmt.Fprintln(e.err, "usage: berth-runtime [options] COMMAND, where COMMAND is one of")
	for _, name := range []string{"create", "start", "run", "exec", "state", "kill", "delete", "ps", "list", "pause", "resume", "spec", "features"} {
		fmt.Fprintf(e.err, "  %s\n", commands()[name].usage)
	}
	global.PrintDefaults()
}

// report writes an error where the caller looks for it: engines read the log.
func (e *env) report(err error) {
	fmt.Fprintf(e.err, "berth-runtime: %v\n", err)
	if e.log == "" {
		return
	}
	f, openErr := os.OpenFile(e.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if openErr != nil {
		fmt.Fprintf(e.err, "berth-runtime: %v\n", openErr)
		return
	}
	defer f.Close()
	now := time.Now().Format(time.RFC3339)
	line := fmt.Appendf(nil, "time=%q level=error msg=%q", now, err.Error())
	if e.logFormat == "json" {
		// Three strings always marshal.
		line, _ = leanjson.Marshal(map[string]string{"level": "error", "msg": err.Error(), "time": now})
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		fmt.Fprintf(e.err, "berth-runtime: %v\n", err)
	}
}

func printVersion(w io.Writer) error {
	_, err := fmt.Fprintf(w, "berth-runtime version %s\nspec: %s\n", version.Version, specs.Version)
	return err
}

// one parses the flags and returns the one argument.
func one(flags *flag.FlagSet, args []string) (string, error) {
	if err := flags.Parse(args); err != nil {
		return "", err
	}
	if flags.NArg() != 1 {
		return "", fmt.Errorf("%s takes exactly one argument, the container's ID", flags.Name())
	}
	return flags.Arg(0), nil
}

// stringFlag defines a flag with a short form.
func stringFlag(flags *flag.FlagSet, long, short, value, usage string) *string {
	p := flags.String(long, value, usage)
	if short != "" {
		flags.StringVar(p, short, value, "short for --"+long)
	}
	return p
}

func boolFlag(flags *flag.FlagSet, long, short, usage string) *bool {
	p := flags.Bool(long, false, usage)
	if short != "" {
		flags.BoolVar(p, short, false, "short for --"+long)
	}
	return p
}

func writePidFile(path string, pid int) error {
	if path == "" {
		return nil
	}
	// Its reader may be waiting for it to appear whole.
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(tmp, fmt.Append(nil, pid), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
