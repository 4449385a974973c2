package image

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/berth-containers/berth/internal/image/changes"
	"github.com/berth-containers/berth/internal/snapshot/layer"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/types/container"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Import makes an image of one layer from the tar of a root filesystem, which
// may be packed with gzip or zstd, and returns its ID. changes are lines of a
// Dockerfile. The layer stays packed as it came. ref may be "".
func (s *Store) Import(ctx context.Context, r io.Reader, ref, message string, lines []string, platform string) (digest.Digest, error) {
	ctx = s.scope(ctx)
	var name string
	if ref != "" {
		named, err := parseTag(ref)
		if err != nil {
			return "", err
		}
		name = named.String()
	}
	c, err := importConfig(message, lines, platform)
	if err != nil {
		return "", err
	}
	ctx, done, err := s.lease(ctx)
	if err != nil {
		return "", err
	}
	id, err := s.importLayer(ctx, r, name, c)
	done(err)
	return id, err
}

func importConfig(message string, lines []string, platform string) (*config, error) {
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
	return &config{
		Created: &now, Architecture: p.Architecture, OS: p.OS, Variant: p.Variant, Config: cc,
		History: []ocispec.History{{Created: &now, Comment: message}},
	}, nil
}

func (s *Store) importLayer(ctx context.Context, r io.Reader, name string, c *config) (digest.Digest, error) {
	kind, r, err := layer.Peek(r)
	if err != nil {
		return "", err
	}
	l, err := s.newLayer(ctx)
	if err != nil {
		return "", err
	}
	desc, err := s.ingest(ctx, r, &l)
	if err != nil {
		return "", fmt.Errorf("import: %w", err)
	}
	desc.MediaType = map[layer.Compression]string{
		layer.Plain: ocispec.MediaTypeImageLayer, layer.Gzip: ocispec.MediaTypeImageLayerGzip, layer.Zstd: ocispec.MediaTypeImageLayerZstd,
	}[kind]
	c.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{l.result.DiffID}}
	p, err := s.writeImage(ctx, c, []ocispec.Descriptor{desc})
	if err != nil {
		return "", err
	}
	chain := p.chain(1)
	release, err := s.flights.take(ctx, chain)
	if err != nil {
		return "", err
	}
	defer release()
	here, err := s.holdChain(ctx, chain)
	if err != nil {
		return "", err
	}
	if !here {
		if err := s.commit(ctx, p, []string{chain}, []staged{l}, 0, nil); err != nil {
			return "", err
		}
	}
	if name == "" {
		name = danglingPrefix + p.desc.Digest.String()
	}
	if err := s.publish(ctx, map[string]*parsed{name: p}); err != nil {
		return "", err
	}
	return p.manifest.Config.Digest, nil
}

// ingest stores a layer of which nothing is known and unpacks it into l.
func (s *installer) ingest(ctx context.Context, r io.Reader, l *staged) (ocispec.Descriptor, error) {
	w, err := content.OpenWriter(ctx, s.blobs, content.WithRef("import-"+rand.Text()))
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("open blob: %w", err)
	}
	defer w.Close()
	if l.result, err = s.tee(ctx, w, r, l.dir); err != nil {
		return ocispec.Descriptor{}, err
	}
	st, err := w.Status()
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("store blob: %w", err)
	}
	desc := ocispec.Descriptor{Digest: w.Digest(), Size: st.Offset}
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return ocispec.Descriptor{}, fmt.Errorf("store blob: %w", err)
	}
	return desc, nil
}

// writeImage writes the configuration and the manifest of an image made here.
func (s *depot) writeImage(ctx context.Context, c *config, layers []ocispec.Descriptor) (*parsed, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	configDesc, err := s.writeBlob(ctx, ocispec.MediaTypeImageConfig, b)
	if err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	p := &parsed{config: *c, manifest: ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: configDesc, Layers: layers,
	}}
	if b, err = json.Marshal(p.manifest); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	if p.desc, err = s.writeBlob(ctx, ocispec.MediaTypeImageManifest, b); err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return p, nil
}

// publish makes complete images visible under their names.
func (s *catalogue) publish(ctx context.Context, named map[string]*parsed) error {
	targets := map[string]reading{}
	for name, p := range named {
		if err := s.adopt(ctx, p.desc, p); err != nil {
			return err
		}
		targets[name] = reading{target: p.desc}
	}
	return s.setNames(ctx, targets)
}
