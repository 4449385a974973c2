package containers

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
)

func post1(cmd *cobra.Command, e *env.Env, ref, verb string, query url.Values) error {
	return e.Client.Post(cmd.Context(), "/containers/"+client.Ref(ref)+"/"+verb, query, nil, nil)
}

// halting are the flags that stop and restart share.
type halting struct {
	signal  string
	seconds int
}

func (h *halting) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&h.signal, "signal", "s", "", "Signal to send to the container")
	cmd.Flags().IntVarP(&h.seconds, "timeout", "t", 0, "Seconds to wait before killing the container (-1: for ever)")
	cmd.Flags().IntVar(&h.seconds, "time", 0, "")
	_ = cmd.Flags().MarkHidden("time")
}

func (h *halting) query(cmd *cobra.Command) url.Values {
	query := url.Values{}
	if h.signal != "" {
		query.Set("signal", h.signal)
	}
	if cmd.Flags().Changed("timeout") || cmd.Flags().Changed("time") {
		query.Set("t", strconv.Itoa(h.seconds))
	}
	return query
}

// StopCommand is `stop`.
func StopCommand(e *env.Env) *cobra.Command {
	return haltCommand(e, "stop", "Stop one or more running containers")
}

// RestartCommand is `restart`.
func RestartCommand(e *env.Env) *cobra.Command {
	return haltCommand(e, "restart", "Restart one or more containers")
}

func haltCommand(e *env.Env, verb, short string) *cobra.Command {
	var h halting
	cmd := &cobra.Command{
		Use: verb + " [OPTIONS] CONTAINER [CONTAINER...]", Short: short, Args: env.AtLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := h.query(cmd)
			return e.Together(args, func(ref string) error { return post1(cmd, e, ref, verb, query) })
		},
	}
	h.register(cmd)
	return cmd
}

// KillCommand is `kill`.
func KillCommand(e *env.Env) *cobra.Command {
	var signal string
	cmd := &cobra.Command{
		Use: "kill [OPTIONS] CONTAINER [CONTAINER...]", Short: "Kill one or more running containers", Args: env.AtLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if signal != "" {
				query.Set("signal", signal)
			}
			return e.Together(args, func(ref string) error { return post1(cmd, e, ref, "kill", query) })
		},
	}
	cmd.Flags().StringVarP(&signal, "signal", "s", "", "Signal to send to the container")
	return cmd
}

// PauseCommand is `pause`.
func PauseCommand(e *env.Env) *cobra.Command {
	return plainCommand(e, "pause", "Pause all processes within one or more containers")
}

// UnpauseCommand is `unpause`.
func UnpauseCommand(e *env.Env) *cobra.Command {
	return plainCommand(e, "unpause", "Unpause all processes within one or more containers")
}

func plainCommand(e *env.Env, verb, short string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " CONTAINER [CONTAINER...]", Short: short, Args: env.AtLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.Together(args, func(ref string) error { return post1(cmd, e, ref, verb, nil) })
		},
	}
}

// WaitCommand is `wait`.
func WaitCommand(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "wait CONTAINER [CONTAINER...]", Short: "Block until one or more containers stop, then print their exit codes", Args: env.AtLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var failures []error
			for _, ref := range args {
				var w container.WaitResponse
				err := e.Client.Post(cmd.Context(), "/containers/"+client.Ref(ref)+"/wait", nil, nil, &w)
				if err == nil && w.Error != nil && w.Error.Message != "" {
					err = errors.New(w.Error.Message)
				}
				if err != nil {
					failures = append(failures, err)
					continue
				}
				fmt.Fprintln(e.Out, w.StatusCode)
			}
			return errors.Join(failures...)
		},
	}
}

// RenameCommand is `rename`.
func RenameCommand(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "rename CONTAINER NEW_NAME", Short: "Rename a container", Args: env.Exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return post1(cmd, e, args[0], "rename", url.Values{"name": {args[1]}})
		},
	}
}

// RemoveCommand is `rm`.
func RemoveCommand(e *env.Env) *cobra.Command {
	var force, volumes, link bool
	cmd := &cobra.Command{
		Use: "rm [OPTIONS] CONTAINER [CONTAINER...]", Short: "Remove one or more containers", Args: env.AtLeast(1), Aliases: []string{"remove"},
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			for name, set := range map[string]bool{"force": force, "v": volumes, "link": link} {
				if set {
					query.Set(name, "1")
				}
			}
			for i, ref := range args {
				args[i] = strings.Trim(ref, "/")
			}
			return e.Together(args, func(ref string) error {
				err := e.Client.Delete(cmd.Context(), "/containers/"+client.Ref(ref), query, nil)
				if force && client.IsStatus(err, http.StatusNotFound) {
					return &env.Aside{Err: err} // not there is as good
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Force the removal of a running container (uses SIGKILL)")
	cmd.Flags().BoolVarP(&volumes, "volumes", "v", false, "Remove anonymous volumes associated with the container")
	cmd.Flags().BoolVarP(&link, "link", "l", false, "Remove the specified link")
	return cmd
}
