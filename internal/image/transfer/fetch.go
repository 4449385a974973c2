// Package transfer moves what makes up an image between a registry and the
// depot: manifests and configurations on the way in, everything on the way out.
// It leaves nothing behind but blobs that the caller's lease owns.
package transfer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/install"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Opener opens the blobs of a repository.
func Opener(repo *distribution.Repository) install.Opener {
	return func(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
		return repo.Fetch(ctx, desc, offset)
	}
}

// Manifest fetches the manifest of target for a platform, the indexes on the
// way to it, and the configuration.
func Manifest(ctx context.Context, d *depot.Depot, repo *distribution.Repository, target ocispec.Descriptor, platform string) (*manifest.Image, error) {
	want, err := manifest.ParsePlatform(platform)
	if err != nil {
		return nil, err
	}
	desc := target
	for depth := 0; ; depth++ {
		if old(desc.MediaType) {
			return nil, invalid("%s has the old image format (schema 1), that is no longer read; push the image again with a current client", target.Digest)
		}
		if !images.IsManifestType(desc.MediaType) && !images.IsIndexType(desc.MediaType) {
			return nil, invalid("%s is of type %q, not an image", desc.Digest, desc.MediaType)
		}
		if err := fetch(ctx, d, repo, desc, manifest.MaxBytes); err != nil {
			return nil, err
		}
		if !images.IsIndexType(desc.MediaType) {
			break
		}
		var index ocispec.Index
		if err := d.ReadJSON(ctx, desc, manifest.MaxBytes, &index); err != nil {
			return nil, err
		}
		child, err := manifest.Choose(index, want, nil)
		if err != nil {
			return nil, fmt.Errorf("%w; it has %s", err, manifest.Platforms(index))
		}
		if desc = child; depth > manifest.MaxDepth {
			return nil, invalid("image index %s is nested too deeply", target.Digest)
		}
	}
	p := &manifest.Image{Desc: desc}
	if err := d.ReadJSON(ctx, desc, manifest.MaxBytes, &p.Manifest); err != nil {
		return nil, err
	}
	if !images.IsConfigType(p.Manifest.Config.MediaType) {
		return nil, invalid("%s has a configuration of type %q: it is not a container image", desc.Digest, p.Manifest.Config.MediaType)
	}
	if err := fetch(ctx, d, repo, p.Manifest.Config, manifest.MaxConfigBytes); err != nil {
		return nil, err
	}
	if err := d.ReadJSON(ctx, p.Manifest.Config, manifest.MaxConfigBytes, &p.Config); err != nil {
		return nil, err
	}
	// One that is not in an index may be for another machine, unless it was
	// asked for a certain one.
	if is := p.Config.Platform(); platform != "" && desc.Digest == target.Digest && p.Config.Architecture != "" && !want.Match(is) {
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("the image is for %s only, not for %s", platforms.Format(is), platform))
	}
	return p, p.Check()
}

// old says if a type is of schema 1, signed or not. Its digest is not of the
// bytes that come.
func old(mediaType string) bool {
	return mediaType == "application/vnd.docker.distribution.manifest.v1+json" || mediaType == "application/vnd.docker.distribution.manifest.v1+prettyjws"
}

// fetch brings a manifest or a configuration into the depot, if needed.
func fetch(ctx context.Context, d *depot.Depot, repo *distribution.Repository, desc ocispec.Descriptor, limit int64) error {
	if err := desc.Digest.Validate(); err != nil {
		return invalid("digest %q: %v", desc.Digest, err)
	}
	here, err := d.HoldBlob(ctx, desc.Digest)
	if here || err != nil {
		return err
	}
	b, err := repo.FetchAll(ctx, desc, limit)
	if err != nil {
		return err
	}
	if !json.Valid(b) {
		return invalid("%s is not JSON", desc.Digest)
	}
	desc.Size = int64(len(b))
	return d.WriteDescribed(ctx, desc, b)
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
