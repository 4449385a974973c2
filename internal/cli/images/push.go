package images

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/moby/moby/api/types/registry"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/name"
	"github.com/berth-containers/berth/internal/cli/progress"
)

// PushCommand is `push`.
func PushCommand(e *env.Env) *cobra.Command {
	var all, quiet bool
	var platform string
	cmd := &cobra.Command{
		Use: "push [OPTIONS] NAME[:TAG]", Short: "Upload an image to a registry, or to another engine: push ssh://[USER@]HOST IMAGE", Args: env.Between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := e.Out
			if quiet {
				out = io.Discard
			}
			if strings.HasPrefix(args[0], "ssh://") {
				if len(args) != 2 {
					return errors.New("name the image to push: berth push " + args[0] + " IMAGE")
				}
				return pushOver(cmd.Context(), e, args[0], args[1], out)
			}
			if err := env.Exactly(1)(cmd, args); err != nil {
				return err
			}
			if err := push(cmd, e, args[0], all, platform, out); err != nil {
				return err
			}
			if quiet {
				fmt.Fprintln(e.Out, name.Split(args[0]).Full())
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&all, "all-tags", "a", false, "Push all tags of an image to the repository")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "Suppress verbose output")
	cmd.Flags().StringVar(&platform, "platform", "", "Push a platform-specific manifest as a single-platform image")
	cmd.Flags().Bool("disable-content-trust", true, "")
	_ = cmd.Flags().MarkHidden("disable-content-trust")
	return cmd
}

func push(cmd *cobra.Command, e *env.Env, image string, all bool, platform string, out io.Writer) error {
	n := name.Split(image)
	query := url.Values{}
	switch {
	case n.Digest != "":
		return errors.New("cannot push a digest reference: name a tag")
	case all && n.Tag != "":
		return errors.New("tag can't be used with --all-tags/-a")
	case !all && n.Tag == "":
		n.Tag = "latest"
		fmt.Fprintln(out, "Using default tag: latest")
	}
	if n.Tag != "" {
		query.Set("tag", n.Tag)
	}
	if platform != "" {
		query.Set("platform", platform)
	}
	header, err := credentials(cmd.Context(), e, n.Place())
	if err != nil {
		return err
	}
	if header == nil { // the engine wants the header in any case
		header = http.Header{http.CanonicalHeaderKey(registry.AuthHeader): {"e30="}}
	}
	answer, err := e.Client.Stream(cmd.Context(), http.MethodPost, "/images/"+client.Ref(n.Repository)+"/push", query, header)
	if err != nil {
		return err
	}
	defer answer.Close()
	return progress.Show(out, answer, nil)
}
