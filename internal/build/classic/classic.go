// Package classic is what the classic builder's clients expect, over BuildKit: a
// context that comes as a tar stream, credentials that come with the request,
// and a transcript of numbered steps.
//
// A context is unpacked into a directory of the builder's and given to BuildKit
// as a session has it, so that only what changed counts. The directory goes with
// the request; what a crash leaves of it is in the exec root, which the engine
// empties before the next builder starts.
package classic

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/go-archive/compression"
	"github.com/moby/moby/api/types/registry"
	"github.com/tonistiigi/fsutil"
	"google.golang.org/grpc"
)

// Context is an unpacked context.
type Context struct{ Dir string }

// Unpack unpacks a tar stream, which may be compressed, below parent.
func Unpack(ctx context.Context, parent string, r io.Reader) (_ *Context, err error) {
	dir, err := os.MkdirTemp(parent, "context-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the context: %w", err)
	}
	c := &Context{dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	buffered := bufio.NewReader(r)
	if _, err := buffered.Peek(1); errors.Is(err, io.EOF) {
		return c, nil // the Dockerfile is missed later
	}
	plain, err := compression.DecompressStream(buffered)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("read the build context: " + err.Error())
	}
	defer plain.Close()
	// A file that is called like a whiteout is a file.
	asFiles := archive.WithConvertWhiteout(func(*tar.Header, string) (bool, error) { return true, nil })
	if _, err := archive.Apply(ctx, dir, plain, asFiles); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("unpack the build context: " + err.Error())
	}
	// Only when all was read does the server notice a client that goes away.
	_, _ = io.Copy(io.Discard, buffered)
	return c, nil
}

// Close deletes the context.
func (c *Context) Close() error { return os.RemoveAll(c.Dir) }

// Dockerfile reads the Dockerfile, "" for the one of that name.
func (c *Context) Dockerfile(name string) ([]byte, error) {
	if name == "" {
		name = "Dockerfile"
	}
	root, err := os.OpenRoot(c.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	b, err := root.ReadFile(filepath.Clean(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, errdefs.ErrInvalidArgument.WithMessage("Cannot locate specified Dockerfile: " + name)
	}
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("read the Dockerfile %s: %v", name, err))
	}
	return b, nil
}

// Session gives BuildKit a client's context, if there is one, and credentials,
// by host, until end is called.
func Session(ctx context.Context, sessions *session.Manager, c *Context, creds map[string]registry.AuthConfig) (id string, end func(), err error) {
	s, err := session.NewSession(ctx, "")
	if err != nil {
		return "", nil, fmt.Errorf("make a session: %w", err)
	}
	if c != nil {
		files, err := fsutil.NewFS(c.Dir)
		if err != nil {
			return "", nil, fmt.Errorf("read the context: %w", err)
		}
		s.Allow(filesync.NewFSSyncProvider(filesync.StaticDirSource{"context": files, "dockerfile": files}))
	}
	s.Allow(&credentials{byHost: creds})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// It ends with Close.
		_ = s.Run(ctx, func(ctx context.Context, _ string, meta map[string][]string) (net.Conn, error) {
			theirs, ours := net.Pipe()
			go func() { _ = sessions.HandleConn(ctx, theirs, meta) }()
			return ours, nil
		})
	}()
	return s.ID(), func() {
		s.Close()
		cancel()
		<-done
	}, nil
}

// credentials answer for registries.
type credentials struct {
	auth.UnimplementedAuthServer
	byHost map[string]registry.AuthConfig
}

func (c *credentials) Register(s *grpc.Server) { auth.RegisterAuthServer(s, c) }

func (c *credentials) Credentials(_ context.Context, q *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	keys := []string{q.Host}
	if q.Host == "registry-1.docker.io" || q.Host == "docker.io" {
		keys = []string{"https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"}
	}
	for _, key := range keys {
		for _, form := range []string{key, "https://" + key, "http://" + key, "https://" + key + "/"} {
			a, ok := c.byHost[form]
			switch {
			case !ok:
			case a.IdentityToken != "":
				return &auth.CredentialsResponse{Secret: a.IdentityToken}, nil
			default:
				return &auth.CredentialsResponse{Username: a.Username, Secret: a.Password}, nil
			}
		}
	}
	return &auth.CredentialsResponse{}, nil
}
