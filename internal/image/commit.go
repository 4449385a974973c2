package image

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/berth-containers/berth/internal/image/changes"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/name"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/moby/moby/api/types/container"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Commit is an image to be made of another one and a layer above it.
type Commit struct {
	Base            Image
	Ref             string // the name of the new image; may be empty
	Author, Comment string
	CreatedBy       string            // the step, for the history
	Config          *container.Config // what the new image says about its containers
	Changes         []string          // lines of a Dockerfile, applied to Config
}

// Commit makes an image; layer writes the tar of what is above the base.
func (s *Store) Commit(ctx context.Context, c Commit, layer func(io.Writer) error) (digest.Digest, error) {
	if c.Base.Host {
		return "", invalid("a container of the image %q cannot be committed: its files are the running system's; export it", HostName)
	}
	var record string
	if c.Ref != "" {
		named, err := name.ParseTag(c.Ref)
		if err != nil {
			return "", err
		}
		record = named.String()
	}
	if err := changes.Apply(c.Config, c.Changes); err != nil {
		return "", err
	}
	ctx, done, err := s.depot.Lease(s.depot.Scope(ctx))
	if err != nil {
		return "", err
	}
	id, err := s.commit(ctx, c, record, layer)
	done(err)
	return id, err
}

func (s *Store) commit(ctx context.Context, c Commit, record string, layer func(io.Writer) error) (digest.Digest, error) {
	base, err := manifest.Read(ctx, s.depot, manifest.Reading{Target: c.Base.Target, Manifest: c.Base.Manifest.Digest})
	if errdefs.IsNotFound(err) {
		return "", errdefs.ErrNotFound.WithMessage("the image that the container was made from is gone: pull it again, or export the container")
	}
	if err != nil {
		return "", err
	}
	for _, l := range base.Manifest.Layers {
		if here, err := s.depot.HoldBlob(ctx, l.Digest); err != nil || !here {
			return "", errdefs.ErrNotFound.WithMessage(fmt.Sprintf("layer %s of the container's image is gone: pull the image again, or export the container", l.Digest))
		}
	}
	if n := len(base.Manifest.Layers); n > 0 {
		if _, err := s.depot.HoldChain(ctx, base.Chain(n)); err != nil {
			return "", err
		}
	}
	r, w := io.Pipe()
	go func() {
		// Quick: what is saved by more is less than what is waited for.
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err == nil {
			err = layer(z)
		}
		if err == nil {
			err = z.Close()
		}
		w.CloseWithError(err)
	}()
	defer r.Close()
	l, desc, err := s.install.Ingest(ctx, r)
	if err != nil {
		return "", fmt.Errorf("commit: %w", err)
	}
	now := time.Now().UTC()
	config := base.Config
	config.Created, config.Author, config.Config = &now, c.Author, c.Config
	config.RootFS.DiffIDs = append(append([]digest.Digest{}, config.RootFS.DiffIDs...), l.DiffID())
	config.History = append(append([]ocispec.History{}, config.History...),
		ocispec.History{Created: &now, Author: c.Author, Comment: c.Comment, CreatedBy: c.CreatedBy})
	layers := make([]ocispec.Descriptor, 0, len(base.Manifest.Layers)+1)
	for _, b := range base.Manifest.Layers {
		b.MediaType = manifest.OCIType(b.MediaType)
		layers = append(layers, b)
	}
	return s.enter(ctx, record, &config, append(layers, desc), l)
}
