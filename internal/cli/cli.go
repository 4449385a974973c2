// Package cli is the command line `berth`. It speaks only the Docker Engine
// HTTP API and takes what `docker` takes, word for word.
//
// A command parses, makes its calls and prints. The exit code is the
// container's own where one ran; 125 if run or create failed before that, 126
// and 127 if the container's command could not be run, 1 for other errors.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/containers"
	"github.com/berth-containers/berth/internal/cli/discover"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/images"
	"github.com/berth-containers/berth/internal/cli/objects"
	"github.com/berth-containers/berth/internal/version"
)

// Main runs one command line and returns the exit code. build makes the command
// of that name.
func Main(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer, build func(*env.Env) *cobra.Command) int {
	e := &env.Env{In: in, Out: out, Err: errOut, Getenv: os.Getenv}
	root := newRoot(e, args, build)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	cmd, err := root.ExecuteContextC(ctx)
	return report(errOut, cmd, err)
}

// report prints what went wrong and finds the exit code.
func report(w io.Writer, cmd *cobra.Command, err error) int {
	if err == nil {
		return 0
	}
	creates := cmd.Name() == "run" || cmd.Name() == "create" && cmd.Parent() != nil && cmd.Parent().Name() != "volume"
	code := 1
	var s *env.Status
	if errors.As(err, &s) {
		code = s.Code
		if s.Err == nil {
			return code
		}
	} else if creates {
		code = 125 // only the flags and arguments are left to be wrong
	}
	for _, line := range strings.Split(strings.TrimSpace(err.Error()), "\n") {
		var answer *client.Error
		if creates || !errors.As(err, &answer) {
			line = "berth: " + line
		}
		fmt.Fprintln(w, line)
	}
	var u *env.Usage
	if errors.As(err, &u) {
		fmt.Fprintf(w, "See '%s --help'.\n", u.Command)
	}
	return code
}

func newRoot(e *env.Env, args []string, build func(*env.Env) *cobra.Command) *cobra.Command {
	var o discover.Options
	var hosts []string
	var contextName string
	var showVersion bool
	root := &cobra.Command{
		Use: "berth [OPTIONS] COMMAND [ARG...]", Short: "Run containers",
		Long:             "Run containers. Takes what docker takes.",
		SilenceErrors:    true,
		SilenceUsage:     true,
		TraverseChildren: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if len(hosts) > 1 {
				return errors.New("specify only one -H")
			}
			if len(hosts) == 1 {
				o.Host = hosts[0]
			}
			if contextName != "" && contextName != "default" {
				return fmt.Errorf("there is no context %q: name the engine by --host", contextName)
			}
			if e.ConfigDir == "" {
				e.ConfigDir = discover.ConfigDir(e.Getenv)
			}
			return connect(e, o)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case showVersion:
				fmt.Fprintln(e.Out, "Berth version "+version.Version)
				return nil
			case len(args) > 0:
				return &env.Usage{Err: fmt.Errorf("unknown command: berth %s", args[0]), Command: "berth"}
			}
			return cmd.Help()
		},
	}
	flags := root.Flags()
	flags.SetInterspersed(false)
	flags.StringArrayVarP(&hosts, "host", "H", nil, "Engine to connect to (`unix://PATH` or tcp://HOST:PORT)")
	flags.BoolVar(&o.TLS, "tls", false, "Use TLS; implied by --tlsverify")
	flags.BoolVar(&o.TLSVerify, "tlsverify", false, "Use TLS and verify the remote")
	flags.StringVar(&o.CACert, "tlscacert", "", "Trust certs signed only by the authority in this `file`")
	flags.StringVar(&o.Cert, "tlscert", "", "TLS certificate `file`")
	flags.StringVar(&o.Key, "tlskey", "", "TLS key `file`")
	flags.StringVar(&e.ConfigDir, "config", "", "`folder` of the client's settings")
	flags.StringVarP(&contextName, "context", "c", "", "")
	flags.BoolP("debug", "D", false, "")
	flags.StringP("log-level", "l", "info", "")
	for _, name := range []string{"context", "debug", "log-level"} {
		_ = flags.MarkHidden(name)
	}
	flags.BoolVarP(&showVersion, "version", "v", false, "Print version information and quit")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &env.Usage{Err: err, Command: cmd.CommandPath()}
	})
	root.PersistentFlags().Bool("help", false, "Print usage")
	root.SetUsageFunc(func(cmd *cobra.Command) error { return printUsage(cmd.OutOrStderr(), cmd) })
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { _ = printHelp(e.Out, cmd) })
	addCommands(root, e, args, build)
	return root
}

func connect(e *env.Env, o discover.Options) error {
	endpoint, err := discover.Find(o, e.Getenv)
	if err != nil {
		return err
	}
	e.Client = client.New(endpoint.Host(), endpoint.Dial)
	return nil
}

// addCommands makes the commands. Those of a group are made only for a command
// line that may need them: the others pay for their flags at every start.
func addCommands(root *cobra.Command, e *env.Env, args []string, build func(*env.Env) *cobra.Command) {
	root.AddGroup(&cobra.Group{ID: "container", Title: "Containers:"}, &cobra.Group{ID: "image", Title: "Images:"},
		&cobra.Group{ID: "engine", Title: "Engine:"}, &cobra.Group{ID: "group", Title: "Groups:"})
	add := func(group string, list ...*cobra.Command) {
		for _, c := range list {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("container", containers.Shared(e)...)
	add("container", containers.ListCommand(e, "ps"))
	add("image", build(e), images.ListCommand(e, "images"), images.RemoveCommand(e, "rmi"))
	add("image", images.Shared(e)...)
	add("image", images.SearchCommand(e), objects.LoginCommand(e), objects.LogoutCommand(e))
	add("engine", objects.InspectCommand(e), objects.VersionCommand(e), objects.InfoCommand(e), objects.EventsCommand(e))
	lazy := func(name string, full func() *cobra.Command, short string) {
		if slices.Contains(args, name) || slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "__complete") }) {
			add("group", full())
			return
		}
		add("group", &cobra.Command{Use: name, Short: short, Run: func(*cobra.Command, []string) {}})
	}
	lazy("container", func() *cobra.Command { return containers.Group(e, objects.ContainerInspect(e)) }, "Manage containers")
	lazy("image", func() *cobra.Command { return images.Group(e, objects.ImageInspect(e), build(e)) }, "Manage images")
	lazy("builder", func() *cobra.Command { return objects.BuilderGroup(e, build(e)) }, "Manage builds")
	lazy("network", func() *cobra.Command { return objects.NetworkGroup(e) }, "Manage networks")
	lazy("system", func() *cobra.Command { return objects.SystemGroup(e) }, "Manage Berth")
	lazy("volume", func() *cobra.Command { return objects.VolumeGroup(e) }, "Manage volumes")
}
