// Package env is what a command works with: the standard streams, the
// environment and the engine.
package env

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
)

// Env is made once; Client and ConfigDir are known when a command runs.
type Env struct {
	In        io.Reader
	Out, Err  io.Writer
	Getenv    func(string) string
	Client    *client.Client
	ConfigDir string
}

// Status is an error with an exit code of its own. Without Err nothing is printed.
type Status struct {
	Code int
	Err  error
}

func (s *Status) Error() string {
	if s.Err == nil {
		return fmt.Sprintf("exit status %d", s.Code)
	}
	return s.Err.Error()
}

func (s *Status) Unwrap() error { return s.Err }

// Usage is an error in how a command was typed.
type Usage struct {
	Err     error
	Command string // whose --help says more
}

func (u *Usage) Error() string { return u.Err.Error() }

func (u *Usage) Unwrap() error { return u.Err }

// Each does one thing for every argument, prints what done returns, goes on
// after an error and returns all of them.
func (e *Env) Each(args []string, do func(arg string) error) error {
	var failed []error
	for _, arg := range args {
		if err := do(arg); err != nil {
			failed = append(failed, err)
			continue
		}
		fmt.Fprintln(e.Out, arg)
	}
	return errors.Join(failed...)
}

// Aside is an error that is printed and is no failure.
type Aside struct{ Err error }

func (a *Aside) Error() string { return a.Err.Error() }

func (a *Aside) Unwrap() error { return a.Err }

// atOnce is how many things Together does at a time.
const atOnce = 32

// Together is Each for what does not depend on the order: several at a time,
// told in the order of the arguments.
func (e *Env) Together(args []string, do func(arg string) error) error {
	slots := make(chan struct{}, atOnce)
	done := make([]chan error, len(args))
	for i := range args {
		done[i] = make(chan error, 1)
	}
	go func() {
		for i, arg := range args {
			slots <- struct{}{}
			go func() {
				done[i] <- do(arg)
				<-slots
			}()
		}
	}()
	var failed []error
	for i, arg := range args {
		err := <-done[i]
		var aside *Aside
		switch {
		case err == nil:
			fmt.Fprintln(e.Out, arg)
		case errors.As(err, &aside):
			fmt.Fprintln(e.Err, aside)
		default:
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// Warn prints the engine's warnings.
func (e *Env) Warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintln(e.Err, "WARNING: "+w)
	}
}

// Exactly, AtLeast and Between check the number of arguments.
func Exactly(n int) cobra.PositionalArgs { return Between(n, n) }

// AtLeast is without an upper limit.
func AtLeast(n int) cobra.PositionalArgs { return Between(n, 1<<30) }

// Between includes both ends.
func Between(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= low && len(args) <= high {
			return nil
		}
		var want string
		switch {
		case high == 0:
			want = "accepts no arguments"
		case low == high:
			want = fmt.Sprintf("requires %d %s", low, plural(low))
		case len(args) < low:
			want = fmt.Sprintf("requires at least %d %s", low, plural(low))
		default:
			want = fmt.Sprintf("requires at most %d %s", high, plural(high))
		}
		return fmt.Errorf("%q %s", cmd.CommandPath(), want)
	}
}

func plural(n int) string {
	if n == 1 {
		return "argument"
	}
	return "arguments"
}

// Group is a command that only holds others.
func Group(name, short string, aliases []string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " COMMAND", Short: short, Aliases: aliases,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command: %s %s", cmd.CommandPath(), strings.Join(args, " "))
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(children...)
	return cmd
}
