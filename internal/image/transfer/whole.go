package transfer

import (
	"context"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Whole fetches target and every manifest below it, for all platforms, and lists
// the other blobs that they name.
func Whole(ctx context.Context, d *depot.Depot, repo *distribution.Repository, target ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return whole(ctx, d, repo, target, 0)
}

func whole(ctx context.Context, d *depot.Depot, repo *distribution.Repository, desc ocispec.Descriptor, depth int) ([]ocispec.Descriptor, error) {
	if depth > manifest.MaxDepth {
		return nil, invalid("image index %s is nested too deeply", desc.Digest)
	}
	if !images.IsIndexType(desc.MediaType) && !images.IsManifestType(desc.MediaType) {
		return nil, invalid("%s is of type %q, not an image", desc.Digest, desc.MediaType)
	}
	if err := fetch(ctx, d, repo, desc, manifest.MaxBytes); err != nil {
		return nil, err
	}
	if !images.IsIndexType(desc.MediaType) {
		var m ocispec.Manifest
		if err := d.ReadJSON(ctx, desc, manifest.MaxBytes, &m); err != nil {
			return nil, err
		}
		return append(m.Layers, m.Config), nil
	}
	var index ocispec.Index
	if err := d.ReadJSON(ctx, desc, manifest.MaxBytes, &index); err != nil {
		return nil, err
	}
	var blobs []ocispec.Descriptor
	for _, m := range index.Manifests {
		more, err := whole(ctx, d, repo, m, depth+1)
		if err != nil {
			return nil, err
		}
		blobs = append(blobs, more...)
	}
	return blobs, nil
}
