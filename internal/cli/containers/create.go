// Package containers holds the commands about containers, one file for each
// verb or for a few that are alike.
//
// A container that was created but could not be started stays, as in Docker,
// unless it is --rm. A client that is killed leaves its container running; the
// engine is told nothing that only a client's clean end would undo.
package containers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/images"
	"github.com/berth-containers/berth/internal/cli/runopts"
	"github.com/berth-containers/berth/internal/cli/terminal"
)

// engineError is the exit code of what went wrong before the container ran.
const engineError = 125

func failed(err error) error {
	var s *env.Status
	if err == nil || errors.As(err, &s) {
		return err
	}
	return &env.Status{Code: engineError, Err: err}
}

// CreateCommand is `create`.
func CreateCommand(e *env.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create [OPTIONS] IMAGE [COMMAND] [ARG...]", Short: "Create a new container", Args: env.AtLeast(1),
	}
	flags := runopts.Register(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := flags.Build(args, false)
		if err != nil {
			return failed(err)
		}
		id, err := create(cmd.Context(), e, flags, r)
		if err != nil {
			return failed(err)
		}
		fmt.Fprintln(e.Out, id)
		return nil
	}
	return cmd
}

// create makes the container, pulls its image before if need be, and writes
// the file with its ID.
func create(ctx context.Context, e *env.Env, flags *runopts.Flags, r *runopts.Request) (id string, err error) {
	if f := terminal.Of(e.Out); f != nil && r.Tty {
		w, h := terminal.Size(f)
		r.HostConfig.ConsoleSize = [2]uint{h, w}
	}
	if r.Platform == "" {
		r.Platform = e.Getenv("DOCKER_DEFAULT_PLATFORM")
	}
	file, err := newIDFile(flags.CIDFile)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.close(id)) }()
	if flags.Pull == "always" {
		if err := pull(ctx, e, flags, r); err != nil {
			return "", err
		}
	}
	id, err = post(ctx, e, r)
	if flags.Pull != "missing" || !noSuchImage(err) {
		return id, err
	}
	if !flags.Quiet {
		fmt.Fprintf(e.Err, "Unable to find image '%s' locally\n", r.Image)
	}
	if err := pull(ctx, e, flags, r); err != nil {
		return "", err
	}
	return post(ctx, e, r)
}

func pull(ctx context.Context, e *env.Env, flags *runopts.Flags, r *runopts.Request) error {
	out := e.Err
	if flags.Quiet {
		out = io.Discard
	}
	return images.Pull(ctx, e, r.Image, images.PullOptions{Platform: r.Platform, Progress: out})
}

func post(ctx context.Context, e *env.Env, r *runopts.Request) (string, error) {
	query := url.Values{}
	if r.Name != "" {
		query.Set("name", r.Name)
	}
	if r.Platform != "" {
		query.Set("platform", r.Platform)
	}
	var made container.CreateResponse
	if err := e.Client.Post(ctx, "/containers/create", query, r.CreateRequest, &made); err != nil {
		return "", err
	}
	e.Warn(made.Warnings)
	return made.ID, nil
}

// noSuchImage tells the missing image from other things that may be missing
// (a network, another container).
func noSuchImage(err error) bool {
	var answer *client.Error
	return errors.As(err, &answer) && answer.Status == http.StatusNotFound && containsFold(answer.Message, "no such image")
}

// idFile is the file of --cidfile: there while the container is made, gone if
// it was not.
type idFile struct{ f *os.File }

func newIDFile(path string) (idFile, error) {
	if path == "" {
		return idFile{}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if errors.Is(err, os.ErrExist) {
		return idFile{}, fmt.Errorf("container ID file found, make sure the other container isn't running or delete %s", path)
	}
	if err != nil {
		return idFile{}, fmt.Errorf("create the container ID file: %w", err)
	}
	return idFile{f}, nil
}

func (i idFile) close(id string) error {
	if i.f == nil {
		return nil
	}
	_, err := i.f.WriteString(id)
	err = errors.Join(err, i.f.Close())
	if id == "" {
		err = errors.Join(err, os.Remove(i.f.Name()))
	}
	if err != nil {
		return fmt.Errorf("write the container ID file: %w", err)
	}
	return nil
}
