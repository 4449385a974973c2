package containers

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/runopts"
	"github.com/berth-containers/berth/internal/cli/terminal"
)

type execOptions struct {
	detach, interactive bool
	keys                string
	env, envFile        []string
	request             container.ExecCreateRequest
}

// ExecCommand is `exec`.
func ExecCommand(e *env.Env) *cobra.Command {
	var o execOptions
	cmd := &cobra.Command{
		Use: "exec [OPTIONS] CONTAINER COMMAND [ARG...]", Short: "Execute a command in a running container", Args: env.AtLeast(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.request.Cmd = args[1:]
			return execute(cmd.Context(), e, args[0], o)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.BoolVarP(&o.detach, "detach", "d", false, "Detached mode: run command in the background")
	flags.BoolVarP(&o.interactive, "interactive", "i", false, "Keep STDIN open even if not attached")
	flags.BoolVarP(&o.request.Tty, "tty", "t", false, "Allocate a pseudo-TTY")
	flags.StringVarP(&o.request.User, "user", "u", "", "Username or UID (format: <name|uid>[:<group|gid>])")
	flags.BoolVar(&o.request.Privileged, "privileged", false, "Give extended privileges to the command")
	flags.StringVarP(&o.request.WorkingDir, "workdir", "w", "", "Working directory inside the container")
	flags.StringArrayVarP(&o.env, "env", "e", nil, "Set environment variables")
	flags.StringArrayVar(&o.envFile, "env-file", nil, "Read in a file of environment variables")
	flags.StringVar(&o.keys, "detach-keys", "", "Override the key sequence for detaching a container")
	return cmd
}

func execute(ctx context.Context, e *env.Env, ref string, o execOptions) (err error) {
	r := &o.request
	if r.Env, err = runopts.Environment(o.envFile, o.env); err != nil {
		return err
	}
	if !o.detach {
		r.AttachStdin, r.AttachStdout, r.AttachStderr = o.interactive, true, true
	}
	a, err := newAttachment(e, &container.Config{Tty: r.Tty, AttachStdin: r.AttachStdin, AttachStdout: r.AttachStdout, AttachStderr: r.AttachStderr}, o.keys)
	if err != nil {
		return err
	}
	r.DetachKeys = a.keys
	start := container.ExecStartRequest{Detach: o.detach, Tty: r.Tty}
	out := terminal.Of(e.Out)
	if r.Tty && out != nil {
		w, h := terminal.Size(out)
		r.ConsoleSize = &[2]uint{h, w}
		start.ConsoleSize = r.ConsoleSize
	}
	var made container.ExecCreateResponse
	if err := e.Client.Post(ctx, "/containers/"+client.Ref(ref)+"/exec", nil, r, &made); err != nil {
		return err
	}
	path := "/exec/" + client.Ref(made.ID)
	if o.detach {
		return execFailed(e.Client.Post(ctx, path+"/start", nil, start, nil))
	}
	stream, err := e.Client.Hijack(ctx, path+"/start", nil, start)
	if err != nil {
		return execFailed(err)
	}
	if r.Tty && out != nil {
		defer terminal.WatchSize(out, func(w, h uint) { resize(ctx, e.Client, path, w, h) })()
	}
	detached, err := a.session.Join(ctx, stream)
	if err := sessionError(err); err != nil || detached {
		return err
	}
	return execExit(ctx, e, path)
}

// execFailed gives a command that cannot run the exit code that a shell would.
func execFailed(err error) error {
	var answer *client.Error
	if !errors.As(err, &answer) {
		return err
	}
	if code := codeOf(answer.Message); code != engineError {
		return &env.Status{Code: code, Err: err}
	}
	return err
}

func execExit(ctx context.Context, e *env.Env, path string) error {
	var x container.ExecInspectResponse
	if err := e.Client.Get(ctx, path+"/json", nil, &x); err != nil {
		return fmt.Errorf("ask for the command's exit code: %w", err)
	}
	if x.ExitCode != nil && *x.ExitCode != 0 {
		return &env.Status{Code: *x.ExitCode}
	}
	return nil
}
