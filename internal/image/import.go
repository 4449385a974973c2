package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/berth-containers/berth/internal/image/changes"
	"github.com/berth-containers/berth/internal/image/install"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/name"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/types/container"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Import makes an image of one layer from the tar of a root filesystem, which
// may be packed with gzip or zstd, and returns its ID. changes are lines of a
// Dockerfile. The layer stays packed as it came. ref may be "".
func (s *Store) Import(ctx context.Context, r io.Reader, ref, message string, lines []string, platform string) (digest.Digest, error) {
	ctx = s.depot.Scope(ctx)
	var record string
	if ref != "" {
		named, err := name.ParseTag(ref)
		if err != nil {
			return "", err
		}
		record = named.String()
	}
	c, err := importConfig(message, lines, platform)
	if err != nil {
		return "", err
	}
	ctx, done, err := s.depot.Lease(ctx)
	if err != nil {
		return "", err
	}
	id, err := s.importLayer(ctx, r, record, c)
	done(err)
	return id, err
}

func importConfig(message string, lines []string, platform string) (*manifest.Config, error) {
	cc := &container.Config{Env: []string{}}
	if err := changes.Apply(cc, lines); err != nil {
		return nil, err
	}
	p := platforms.Normalize(ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH})
	if platform != "" {
		var err error
		if p, err = platforms.Parse(platform); err != nil {
			return nil, invalid("invalid platform %q: %v", platform, err)
		}
	}
	if message == "" {
		message = "Imported from -"
	}
	now := time.Now().UTC()
	return &manifest.Config{
		Created: &now, Architecture: p.Architecture, OS: p.OS, Variant: p.Variant, Config: cc,
		History: []ocispec.History{{Created: &now, Comment: message}},
	}, nil
}

func (s *Store) importLayer(ctx context.Context, r io.Reader, record string, c *manifest.Config) (digest.Digest, error) {
	l, desc, err := s.install.Ingest(ctx, r)
	if errors.Is(err, tar.ErrHeader) {
		return "", notTar()
	}
	if err != nil {
		return "", fmt.Errorf("import: %w", err)
	}
	c.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{l.DiffID()}}
	return s.enter(ctx, record, c, []ocispec.Descriptor{desc}, l)
}

// enter makes an image of a configuration and layers, of which the top one was
// ingested just now, and names it.
func (s *Store) enter(ctx context.Context, record string, c *manifest.Config, layers []ocispec.Descriptor, top install.Staged) (digest.Digest, error) {
	p, err := manifest.Write(ctx, s.depot, c, layers)
	if err != nil {
		return "", err
	}
	if err := s.install.Place(ctx, p, top); err != nil {
		return "", err
	}
	if record == "" {
		record = name.Dangling + p.Desc.Digest.String()
	}
	if err := manifest.Adopt(ctx, s.depot, p.Desc, p); err != nil {
		return "", err
	}
	return p.Manifest.Config.Digest, s.setNames(ctx, map[string]manifest.Reading{record: {Target: p.Desc}})
}
