package containers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/demux"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/format"
)

type logsOptions struct {
	follow, timestamps, details bool
	since, until, tail          string
}

// LogsCommand is `logs`.
func LogsCommand(e *env.Env) *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use: "logs [OPTIONS] CONTAINER", Short: "Fetch the logs of a container", Args: env.Exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error { return logs(cmd.Context(), e, args[0], o) },
	}
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "Follow log output")
	cmd.Flags().StringVar(&o.since, "since", "", "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)")
	cmd.Flags().StringVar(&o.until, "until", "", "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)")
	cmd.Flags().BoolVarP(&o.timestamps, "timestamps", "t", false, "Show timestamps")
	cmd.Flags().BoolVar(&o.details, "details", false, "Show extra details provided to logs")
	cmd.Flags().StringVarP(&o.tail, "tail", "n", "all", "Number of lines to show from the end of the logs")
	return cmd
}

func logs(ctx context.Context, e *env.Env, ref string, o logsOptions) error {
	query := url.Values{"stdout": {"1"}, "stderr": {"1"}, "tail": {o.tail}}
	for name, value := range map[string]string{"since": o.since, "until": o.until} {
		if value == "" {
			continue
		}
		t, err := format.Timestamp(value)
		if err != nil {
			return fmt.Errorf("invalid value %q for --%s: %w", value, name, err)
		}
		query.Set(name, t)
	}
	for name, set := range map[string]bool{"follow": o.follow, "timestamps": o.timestamps, "details": o.details} {
		if set {
			query.Set(name, "1")
		}
	}
	c, err := inspect(ctx, e, ref)
	if err != nil {
		return err
	}
	body, err := e.Client.Stream(ctx, http.MethodGet, "/containers/"+client.Ref(c.ID)+"/logs", query, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	if c.Config.Tty {
		_, err = io.Copy(e.Out, body)
	} else {
		err = demux.Copy(e.Out, e.Err, body)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the engine went away while the logs were read")
	}
	return err
}

// TopCommand is `top`.
func TopCommand(e *env.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "top CONTAINER [ps OPTIONS]", Short: "Display the running processes of a container", Args: env.AtLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if len(args) > 1 {
				query.Set("ps_args", join(args[1:]))
			}
			var top container.TopResponse
			if err := e.Client.Get(cmd.Context(), "/containers/"+client.Ref(args[0])+"/top", query, &top); err != nil {
				return err
			}
			return format.Table(e.Out, append([][]string{top.Titles}, top.Processes...))
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}
