package containers

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/name"
	"github.com/berth-containers/berth/internal/cli/outfile"
	"github.com/berth-containers/berth/internal/cli/terminal"
)

// DiffCommand is `diff`.
func DiffCommand(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "diff CONTAINER", Short: "Inspect changes to files or directories on a container's filesystem", Args: env.Exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var changes []container.FilesystemChange
			if err := e.Client.Get(cmd.Context(), "/containers/"+client.Ref(args[0])+"/changes", nil, &changes); err != nil {
				return err
			}
			for _, c := range changes {
				fmt.Fprintln(e.Out, c.Kind, c.Path)
			}
			return nil
		},
	}
}

// ExportCommand is `export`.
func ExportCommand(e *env.Env) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "export [OPTIONS] CONTAINER", Short: "Export a container's filesystem as a tar archive", Args: env.Exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" && terminal.Of(e.Out) != nil {
				return errors.New("cowardly refusing to save to a terminal: use the -o flag or redirect")
			}
			answer, err := e.Client.Stream(cmd.Context(), http.MethodGet, "/containers/"+client.Ref(args[0])+"/export", nil, nil)
			if err != nil {
				return err
			}
			defer answer.Close()
			if output != "" {
				return outfile.Write(output, answer)
			}
			_, err = io.Copy(e.Out, answer)
			return err
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "Write to a `file`, instead of STDOUT")
	return cmd
}

// CommitCommand is `commit`.
func CommitCommand(e *env.Env) *cobra.Command {
	var author, message string
	var changes []string
	pause := true
	var noPause bool
	cmd := &cobra.Command{
		Use: "commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]", Short: "Create a new image from a container's changes", Args: env.Between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"container": {args[0]}, "author": {author}, "comment": {message}, "changes": changes}
			if len(args) == 2 {
				n := name.Split(args[1])
				query.Set("repo", n.Repository)
				query.Set("tag", n.Tag)
			}
			if !pause || noPause {
				query.Set("pause", "0")
			}
			var made container.CommitResponse
			if err := e.Client.Post(cmd.Context(), "/commit", query, nil, &made); err != nil {
				return err
			}
			fmt.Fprintln(e.Out, made.ID)
			return nil
		},
	}
	cmd.Flags().StringVarP(&author, "author", "a", "", "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")")
	cmd.Flags().StringVarP(&message, "message", "m", "", "Commit message")
	cmd.Flags().StringArrayVarP(&changes, "change", "c", nil, "Apply Dockerfile instruction to the created image")
	cmd.Flags().BoolVarP(&pause, "pause", "p", true, "Pause container during commit")
	cmd.Flags().BoolVar(&noPause, "no-pause", false, "Do not pause the container during commit")
	return cmd
}
