package transfer

import (
	"context"
	"fmt"
	"sync"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/install"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/progress"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
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
// manifests.
func (s *Set) Push(ctx context.Context, repo *distribution.Repository, tell *progress.Teller) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(install.AtOnce)
	var seen sync.Map
	for _, b := range s.blobs {
		if _, again := seen.LoadOrStore(b.Digest, true); again {
			continue
		}
		tell := tell
		if images.IsConfigType(b.MediaType) {
			tell = nil // it is no layer
		}
		tell.Say(b.Digest, "Preparing")
		group.Go(func() error { return s.push(groupCtx, repo, manifest.Bare(b), tell) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, m := range s.manifests {
		if err := s.push(ctx, repo, m, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) push(ctx context.Context, repo *distribution.Repository, desc ocispec.Descriptor, tell *progress.Teller) error {
	ra, err := s.depot.Blobs.ReaderAt(ctx, desc)
	if err != nil {
		return fmt.Errorf("read blob to push: %w", err)
	}
	defer ra.Close()
	body := tell.Track(desc, content.NewReader(ra), 0, "Pushing")
	existed, err := repo.Push(ctx, desc, s.Root.Digest, body)
	if err != nil {
		return err
	}
	if existed {
		tell.Say(desc.Digest, "Layer already exists")
	} else {
		tell.Say(desc.Digest, "Pushed")
	}
	return nil
}
