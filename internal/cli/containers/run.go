package containers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/runopts"
)

type runOptions struct {
	detach     bool
	sigProxy   bool
	detachKeys string
}

// RunCommand is `run`.
func RunCommand(e *env.Env) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use: "run [OPTIONS] IMAGE [COMMAND] [ARG...]", Short: "Create and run a new container from an image", Args: env.AtLeast(1),
	}
	flags := runopts.Register(cmd.Flags())
	cmd.Flags().BoolVarP(&o.detach, "detach", "d", false, "Run container in background and print container ID")
	cmd.Flags().BoolVar(&o.sigProxy, "sig-proxy", true, "Proxy received signals to the process")
	cmd.Flags().StringVar(&o.detachKeys, "detach-keys", "", "Override the key sequence for detaching a container")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := flags.Build(args, o.detach)
		if err != nil {
			return failed(err)
		}
		return failed(run(cmd.Context(), e, o, flags, r))
	}
	return cmd
}

func run(ctx context.Context, e *env.Env, o runOptions, flags *runopts.Flags, r *runopts.Request) error {
	a, err := newAttachment(e, r.Config, o.detachKeys)
	if err != nil {
		return err
	}
	a.sigProxy = o.sigProxy
	id, err := create(ctx, e, flags, r)
	if err != nil {
		return err
	}
	if o.detach {
		if err := start(ctx, e, id); err != nil {
			return startFailed(err)
		}
		fmt.Fprintln(e.Out, id)
		return nil
	}
	if !a.any() {
		fmt.Fprintln(e.Out, id)
	}
	err = a.startAndFollow(ctx, id, r.HostConfig.AutoRemove)
	if err != nil && !a.started && r.HostConfig.AutoRemove {
		// Nobody else knows of it. The engine may have removed it, or be gone:
		// then its next start does it.
		_ = e.Client.Delete(context.WithoutCancel(ctx), "/containers/"+client.Ref(id), url.Values{"v": {"1"}}, nil)
	}
	return err
}

func start(ctx context.Context, e *env.Env, id string) error {
	return e.Client.Post(ctx, "/containers/"+client.Ref(id)+"/start", nil, nil, nil)
}

// startFailed finds Docker's exit code in the message, the only place where the
// API has it.
func startFailed(err error) error {
	return &env.Status{Code: codeOf(err.Error()), Err: err}
}

func codeOf(message string) int {
	switch {
	case containsAny(message, "executable file not found", "no such file or directory", "system cannot find the file specified"):
		return 127
	case containsAny(message, "permission denied", "is a directory", "exec format error"):
		return 126
	}
	return engineError
}

func containsAny(s string, parts ...string) bool {
	for _, p := range parts {
		if containsFold(s, p) {
			return true
		}
	}
	return false
}

func containsFold(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// exited is a container's end as the command's own.
func exited(w container.WaitResponse) error {
	if w.Error != nil && w.Error.Message != "" {
		return &env.Status{Code: engineError, Err: errors.New(w.Error.Message)}
	}
	if w.StatusCode != 0 {
		return &env.Status{Code: int(w.StatusCode)}
	}
	return nil
}

type waited struct {
	container.WaitResponse
	err error
}

// waitFor asks to be told of the container's end; when it returns, no end can be missed.
func waitFor(ctx context.Context, e *env.Env, id string, condition container.WaitCondition) (<-chan waited, error) {
	query := url.Values{}
	if condition != "" {
		query.Set("condition", string(condition))
	}
	body, err := e.Client.Stream(ctx, "POST", "/containers/"+client.Ref(id)+"/wait", query, nil)
	if err != nil {
		return nil, err
	}
	answer := make(chan waited, 1)
	go func() { // ends with the answer or ctx
		defer body.Close()
		var w waited
		w.err = decode(body, &w.WaitResponse)
		answer <- w
	}()
	return answer, nil
}
