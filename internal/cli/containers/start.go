package containers

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/env"
)

// StartCommand is `start`.
func StartCommand(e *env.Env) *cobra.Command {
	var attached, interactive bool
	var keys, checkpoint string
	cmd := &cobra.Command{
		Use: "start [OPTIONS] CONTAINER [CONTAINER...]", Short: "Start one or more stopped containers", Args: env.AtLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if checkpoint != "" {
				return errors.New("--checkpoint is not supported")
			}
			if !attached && !interactive {
				return e.Each(args, func(ref string) error { return start(cmd.Context(), e, ref) })
			}
			if len(args) > 1 {
				return errors.New("you cannot start and attach multiple containers at once")
			}
			return startAttached(cmd.Context(), e, args[0], interactive, keys)
		},
	}
	cmd.Flags().BoolVarP(&attached, "attach", "a", false, "Attach STDOUT/STDERR and forward signals")
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "Attach container's STDIN")
	cmd.Flags().StringVar(&keys, "detach-keys", "", "Override the key sequence for detaching a container")
	cmd.Flags().StringVar(&checkpoint, "checkpoint", "", "Restore from this checkpoint")
	_ = cmd.Flags().MarkHidden("checkpoint")
	return cmd
}

func startAttached(ctx context.Context, e *env.Env, ref string, interactive bool, keys string) error {
	c, err := inspect(ctx, e, ref)
	if err != nil {
		return err
	}
	config := *c.Config
	config.AttachStdin, config.AttachStdout, config.AttachStderr = interactive && c.Config.OpenStdin, true, true
	a, err := newAttachment(e, &config, keys)
	if err != nil {
		return err
	}
	a.sigProxy = true
	if c.State.Running {
		return attach(ctx, e, ref, interactive, true, keys)
	}
	err = a.startAndFollow(ctx, c.ID, c.HostConfig.AutoRemove)
	var s *env.Status
	if errors.As(err, &s) && s.Code == engineError && s.Err != nil {
		return fmt.Errorf("%w", s.Err) // an error of start is 1, as of any verb but run
	}
	return err
}
