package manifest

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Adopt makes a manifest (and an index above it) the owner of what it lists.
func Adopt(ctx context.Context, s *depot.Depot, target ocispec.Descriptor, p *Image) error {
	owned := map[string]string{"containerd.io/gc.ref.content.config": p.Manifest.Config.Digest.String()}
	for i, l := range p.Manifest.Layers {
		owned[fmt.Sprintf("containerd.io/gc.ref.content.l.%d", i)] = l.Digest.String()
	}
	if err := s.Label(ctx, p.Desc.Digest, owned); err != nil {
		return err
	}
	for desc := target; images.IsIndexType(desc.MediaType); {
		var index ocispec.Index
		if err := s.ReadJSON(ctx, desc, MaxBytes, &index); err != nil {
			return err
		}
		owned := map[string]string{}
		var next ocispec.Descriptor
		for i, m := range index.Manifests {
			if _, err := s.Blobs.Info(ctx, m.Digest); err != nil {
				continue
			}
			owned[fmt.Sprintf("containerd.io/gc.ref.content.m.%d", i)] = m.Digest.String()
			if images.IsIndexType(m.MediaType) {
				next = m
			}
		}
		if err := s.Label(ctx, desc.Digest, owned); err != nil {
			return err
		}
		desc = next
	}
	if chain := p.Chain(len(p.Config.RootFS.DiffIDs)); chain != "" {
		return s.Label(ctx, p.Manifest.Config.Digest, map[string]string{"containerd.io/gc.ref.snapshot." + depot.Snapshotter: chain})
	}
	return nil
}

// Write writes the configuration and the manifest of an image made here.
func Write(ctx context.Context, s *depot.Depot, c *Config, layers []ocispec.Descriptor) (*Image, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	configDesc, err := s.WriteBlob(ctx, ocispec.MediaTypeImageConfig, b)
	if err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	p := &Image{Config: *c, Manifest: ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: configDesc, Layers: layers,
	}}
	if b, err = json.Marshal(p.Manifest); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	if p.Desc, err = s.WriteBlob(ctx, ocispec.MediaTypeImageManifest, b); err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return p, nil
}
