package image

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/name"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Remote tells what a name means in its registry, and the platforms that it is
// for. Nothing of it is stored.
func (s *Store) Remote(ctx context.Context, ref string, creds Credentials) (ocispec.Descriptor, []ocispec.Platform, error) {
	named, err := name.ParseNew(ref)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	repo, err := s.registry.Repository(ctx, named, distribution.Credentials(creds))
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	desc, err := repo.Resolve(ctx)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	all, err := remotePlatforms(ctx, repo, desc)
	if err != nil {
		err = fmt.Errorf("inspect %s: %w", reference.FamiliarString(named), err)
	}
	return desc, all, err
}

func remotePlatforms(ctx context.Context, repo *distribution.Repository, desc ocispec.Descriptor) ([]ocispec.Platform, error) {
	if !images.IsIndexType(desc.MediaType) && !images.IsManifestType(desc.MediaType) {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is of type %q, not an image", desc.Digest, desc.MediaType))
	}
	b, err := repo.FetchAll(ctx, desc, manifest.MaxBytes)
	if err != nil {
		return nil, err
	}
	var m struct {
		Manifests []ocispec.Descriptor
		Config    ocispec.Descriptor
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("read %s: %v", desc.Digest, err))
	}
	if images.IsIndexType(desc.MediaType) {
		var all []ocispec.Platform
		for _, d := range m.Manifests {
			if d.Platform != nil && !manifest.IsAttestation(&d) {
				all = append(all, *d.Platform)
			}
		}
		return all, nil
	}
	if b, err = repo.FetchAll(ctx, m.Config, manifest.MaxConfigBytes); err != nil {
		return nil, err
	}
	var config manifest.Config
	if err := json.Unmarshal(b, &config); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("read %s: %v", m.Config.Digest, err))
	}
	return []ocispec.Platform{config.Platform()}, nil
}
