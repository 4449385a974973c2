// Package images holds the commands about images, one file for each.
package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/moby/moby/api/types/registry"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/auth"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/name"
	"github.com/berth-containers/berth/internal/cli/progress"
)

// PullOptions are those of one pull.
type PullOptions struct {
	Platform string
	All      bool      // every tag
	Progress io.Writer // io.Discard: none
}

// Pull asks the engine to pull an image and shows how it goes.
func Pull(ctx context.Context, e *env.Env, image string, o PullOptions) error {
	n := name.Split(image)
	tag := n.Tag
	switch {
	case o.All && (n.Tag != "" || n.Digest != ""):
		return errors.New("tag can't be used with --all-tags/-a")
	case n.Digest != "":
		tag = n.Digest
	case n.Tag == "" && !o.All:
		tag = "latest"
		fmt.Fprintln(o.Progress, "Using default tag: latest")
	}
	query := url.Values{"fromImage": {n.Repository}}
	if tag != "" {
		query.Set("tag", tag)
	}
	if o.Platform != "" {
		query.Set("platform", o.Platform)
	}
	header, err := credentials(ctx, e, n.Place())
	if err != nil {
		return err
	}
	answer, err := e.Client.Stream(ctx, http.MethodPost, "/images/create", query, header)
	if err != nil {
		return err
	}
	defer answer.Close()
	return progress.Show(o.Progress, answer, nil)
}

// credentials are the header with what is known for a repository.
func credentials(ctx context.Context, e *env.Env, place string) (http.Header, error) {
	config, err := auth.Load(e.ConfigDir)
	if err != nil {
		return nil, err
	}
	known, err := config.Lookup(ctx, place)
	if err != nil {
		return nil, err
	}
	value, err := auth.Header(known)
	if value == "" || err != nil {
		return nil, err
	}
	return http.Header{http.CanonicalHeaderKey(registry.AuthHeader): {value}}, nil
}

// PullCommand is `pull`.
func PullCommand(e *env.Env) *cobra.Command {
	var o PullOptions
	var quiet bool
	cmd := &cobra.Command{
		Use: "pull [OPTIONS] NAME[:TAG|@DIGEST]", Short: "Download an image from a registry", Args: env.Exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Progress = e.Out
			if quiet {
				o.Progress = io.Discard
			}
			if err := Pull(cmd.Context(), e, args[0], o); err != nil {
				return err
			}
			n := name.Split(args[0])
			if o.All {
				fmt.Fprintln(e.Out, n.Repository)
				return nil
			}
			fmt.Fprintln(e.Out, n.Full())
			return nil
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.All, "all-tags", "a", false, "Download all tagged images in the repository")
	flags.BoolVarP(&quiet, "quiet", "q", false, "Suppress verbose output")
	flags.StringVar(&o.Platform, "platform", e.Getenv("DOCKER_DEFAULT_PLATFORM"), "Set platform if the image is for more than one")
	flags.Bool("disable-content-trust", true, "")
	_ = flags.MarkHidden("disable-content-trust")
	return cmd
}
