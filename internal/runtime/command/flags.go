package command

import (
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-containers/berth/internal/runtime/command/state"
)

// one parses the flags and returns the one argument.
func one(flags *flag.FlagSet, args []string) (string, error) {
	if err := flags.Parse(args); err != nil {
		return "", err
	}
	if flags.NArg() != 1 {
		return "", fmt.Errorf("%s takes exactly one argument, the container's ID, not %q", flags.Name(), flags.Args())
	}
	return flags.Arg(0), nil
}

// named loads the one container that the arguments name.
func (e *env) named(flags *flag.FlagSet, args []string) (string, *state.State, error) {
	id, err := one(flags, args)
	if err != nil {
		return "", nil, err
	}
	s, err := e.store.Load(id)
	return id, s, err
}

func oneOf(name, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s %q is none of %s", name, value, strings.Join(allowed, ", "))
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

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

func listFlag(flags *flag.FlagSet, long, short, usage string) *list {
	l := &list{}
	flags.Var(l, long, usage)
	if short != "" {
		flags.Var(l, short, "short for --"+long)
	}
	return l
}
