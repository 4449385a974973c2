package manifest

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// listedLabel of a manifest names the blob that is its OCI form and owns it.
const listedLabel = "containerd.io/gc.ref.content.oci"

// ociTypes are OCI's words for Docker's types.
var ociTypes = map[string]string{
	images.MediaTypeDockerSchema2Config:    ocispec.MediaTypeImageConfig,
	images.MediaTypeDockerSchema2Layer:     ocispec.MediaTypeImageLayer,
	images.MediaTypeDockerSchema2LayerGzip: ocispec.MediaTypeImageLayerGzip,
	images.MediaTypeDockerSchema2LayerZstd: ocispec.MediaTypeImageLayerZstd,
	//lint:ignore SA1019 it is what came
	images.MediaTypeDockerSchema2LayerForeign: ocispec.MediaTypeImageLayerNonDistributable,
	//lint:ignore SA1019 it is what came
	images.MediaTypeDockerSchema2LayerForeignGzip: ocispec.MediaTypeImageLayerNonDistributableGzip,
}

// OCIType is OCI's word for a media type of Docker's; others stay.
func OCIType(mediaType string) string {
	if t, ok := ociTypes[mediaType]; ok {
		return t
	}
	return mediaType
}

// Listed is what the index of an OCI layout lists for a record: its target, if
// every tool can read that there. An index of which not all is here gives way to
// the manifest that was chosen, and a manifest in Docker's words to one of the
// same configuration and layers in OCI's, a blob of its own.
func Listed(ctx context.Context, s *depot.Depot, r Reading) (ocispec.Descriptor, error) {
	if r.Target.MediaType == ocispec.MediaTypeImageManifest {
		return Bare(r.Target), nil
	}
	if r.Target.MediaType == ocispec.MediaTypeImageIndex {
		whole, err := isWhole(ctx, s, r.Target)
		if whole || err != nil {
			return Bare(r.Target), err
		}
	}
	p, err := Read(ctx, s, r)
	if err != nil || p.Desc.MediaType == ocispec.MediaTypeImageManifest {
		return Bare(p.Desc), err
	}
	return writeOCI(ctx, s, p)
}

// isWhole says if all manifests of an index are here, and are in OCI's words.
func isWhole(ctx context.Context, s *depot.Depot, desc ocispec.Descriptor) (bool, error) {
	var index ocispec.Index
	if err := s.ReadJSON(ctx, desc, MaxBytes, &index); err != nil {
		return false, err
	}
	for _, m := range index.Manifests {
		if m.MediaType != ocispec.MediaTypeImageManifest {
			return false, nil
		}
		if _, err := s.Blobs.Info(ctx, m.Digest); err != nil {
			return false, nil //nolint:nilerr // it is not here
		}
	}
	return len(index.Manifests) > 0, nil
}

func writeOCI(ctx context.Context, s *depot.Depot, p *Image) (ocispec.Descriptor, error) {
	m := p.Manifest
	m.MediaType = ocispec.MediaTypeImageManifest
	m.Config.MediaType = OCIType(m.Config.MediaType)
	m.Layers = make([]ocispec.Descriptor, len(p.Manifest.Layers))
	for i, l := range p.Manifest.Layers {
		l.MediaType = OCIType(l.MediaType)
		m.Layers[i] = l
	}
	b, err := json.Marshal(m)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("encode manifest: %w", err)
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(b), Size: int64(len(b))}
	info, err := s.Blobs.Info(ctx, p.Desc.Digest)
	if err != nil {
		return desc, fmt.Errorf("look up manifest: %w", err)
	}
	// Owned before it is there: a collection in between takes nothing away.
	if info.Labels[listedLabel] != desc.Digest.String() {
		if err := s.Label(ctx, p.Desc.Digest, map[string]string{listedLabel: desc.Digest.String()}); err != nil {
			return desc, err
		}
	}
	if err := s.WriteDescribed(ctx, desc, b); err != nil {
		return desc, fmt.Errorf("write manifest for the layout: %w", err)
	}
	return desc, nil
}
