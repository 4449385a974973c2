package transfer

import (
	"context"
	"fmt"
	"io"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/install"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/progress"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Set is what makes up an image that is to be pushed.
type Set struct {
	Root             ocispec.Descriptor
	blobs, manifests []ocispec.Descriptor // manifests from the leaves to the root
	depot            *depot.Depot
}

// List finds what makes up an image; of an index that is here in part it is the
// manifest that was chosen.
func List(ctx context.Context, d *depot.Depot, r manifest.Reading) (*Set, error) {
	s := &Set{Root: manifest.Bare(r.Target), depot: d}
	if images.IsIndexType(r.Target.MediaType) {
		whole, err := s.addIndex(ctx, r.Target)
		if whole || err != nil {
			return s, err
		}
	}
	p, err := manifest.Read(ctx, d, r)
	if err != nil {
		return nil, err
	}
	s.Root = manifest.Bare(p.Desc)
	s.blobs, s.manifests = append(p.Manifest.Layers, p.Manifest.Config), []ocispec.Descriptor{s.Root}
	return s, nil
}

// addIndex adds an index and says if all of it is here.
func (s *Set) addIndex(ctx context.Context, index ocispec.Descriptor) (whole bool, err error) {
	var parsed ocispec.Index
	if err := s.depot.ReadJSON(ctx, index, manifest.MaxBytes, &parsed); err != nil {
		return false, err
	}
	for _, m := range parsed.Manifests {
		add := s.addManifest
		if images.IsIndexType(m.MediaType) {
			add = s.addIndex
		}
		if !s.has(ctx, m) {
			return false, nil
		}
		if whole, err := add(ctx, m); !whole || err != nil {
			return false, err
		}
	}
	s.manifests = append(s.manifests, manifest.Bare(index))
	return true, nil
}

func (s *Set) addManifest(ctx context.Context, desc ocispec.Descriptor) (whole bool, err error) {
	var parsed ocispec.Manifest
	if err := s.depot.ReadJSON(ctx, desc, manifest.MaxBytes, &parsed); err != nil {
		return false, err
	}
	for _, b := range append(parsed.Layers, parsed.Config) {
		if !s.has(ctx, b) {
			return false, nil
		}
		s.blobs = append(s.blobs, b)
	}
	s.manifests = append(s.manifests, manifest.Bare(desc))
	return true, nil
}

func (s *Set) has(ctx context.Context, desc ocispec.Descriptor) bool {
	_, err := s.depot.Blobs.Info(ctx, desc.Digest)
	return err == nil
}

// Push sends the blobs that the registry lacks, several at once, and then the
// manifests. from tells the repositories of the same registry that may have a
// blob already.
func (s *Set) Push(ctx context.Context, repo *distribution.Repository, from func(digest.Digest) []string, tell *progress.Teller) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(install.AtOnce)
	seen := map[digest.Digest]bool{}
	for _, b := range s.blobs {
		if seen[b.Digest] {
			continue
		}
		seen[b.Digest] = true
		tell := tell
		if images.IsConfigType(b.MediaType) {
			tell = nil // it is no layer
		}
		if outside(b) {
			tell.Say(b.Digest, "Skipped foreign layer")
			continue
		}
		tell.Say(b.Digest, "Preparing")
		group.Go(func() error { return s.pushBlob(groupCtx, repo, manifest.Bare(b), from(b.Digest), tell) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, m := range s.manifests {
		b, err := s.depot.ReadBlob(ctx, m, manifest.MaxBytes)
		if err != nil {
			return fmt.Errorf("read manifest to push: %w", err)
		}
		if _, err := repo.PushManifest(ctx, m, m.Digest == s.Root.Digest, b); err != nil {
			return err
		}
	}
	return nil
}

// outside says if a layer is one that registries are not to have: its
// descriptor tells where it is.
func outside(desc ocispec.Descriptor) bool {
	return images.IsNonDistributable(desc.MediaType) && len(desc.URLs) > 0
}

func (s *Set) pushBlob(ctx context.Context, repo *distribution.Repository, desc ocispec.Descriptor, from []string, tell *progress.Teller) error {
	ra, err := s.depot.Blobs.ReaderAt(ctx, desc)
	if err != nil {
		return fmt.Errorf("read blob to push: %w", err)
	}
	defer ra.Close()
	how, err := repo.PushBlob(ctx, desc, from, func(offset int64) io.Reader {
		return tell.Track(desc, io.NewSectionReader(ra, offset, desc.Size-offset), offset, "Pushing")
	})
	if err != nil {
		return err
	}
	switch {
	case how.Existed:
		tell.Say(desc.Digest, "Layer already exists")
	case how.Mounted != "":
		tell.Say(desc.Digest, "Mounted from "+how.Mounted)
	default:
		tell.Say(desc.Digest, "Pushed")
	}
	return nil
}

// Blobs are the digests of the blobs that are pushed.
func (s *Set) Blobs() []digest.Digest {
	var all []digest.Digest
	for _, b := range s.blobs {
		all = append(all, b.Digest)
	}
	return all
}
