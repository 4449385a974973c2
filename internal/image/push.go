package image

import (
	"context"
	"fmt"
	"sync"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Push sends the image that ref names to the registry in that name, layers as
// they are in the store, those that the registry has not. Of an index that is
// here in part, the manifest that is here is sent alone. It returns the digest
// and size of the manifest that the tag names now.
func (s *Store) Push(ctx context.Context, ref string, creds Credentials, progress Progress) (digest.Digest, int64, error) {
	named, err := parseNew(ref)
	if err != nil {
		return "", 0, err
	}
	ctx, done, err := s.lease(s.scope(ctx))
	if err != nil {
		return "", 0, err
	}
	defer done(nil)
	v := s.view.Load()
	img, ok := v.byName[named.String()]
	if !ok {
		return "", 0, noTag(named)
	}
	r := v.reading(img, named.String())
	if here, err := s.holdBlob(ctx, r.target.Digest); err != nil || !here {
		return "", 0, noTag(named)
	}
	root, blobs, manifests, err := s.pushList(ctx, r)
	if err != nil {
		return "", 0, fmt.Errorf("push %s: %w", ref, err)
	}
	repo, err := s.registry.Repository(ctx, named, distribution.Credentials(creds))
	if err != nil {
		return "", 0, err
	}
	tell := &teller{tell: progress}
	tell.event(Event{Status: fmt.Sprintf("The push refers to repository [%s]", named.Name())})
	if err := s.pushAll(ctx, repo, root, blobs, manifests, tell); err != nil {
		return "", 0, err
	}
	tell.event(Event{Status: fmt.Sprintf("%s: digest: %s size: %d", tagOf(named), root.Digest, root.Size)})
	return root.Digest, root.Size, nil
}

func noTag(named reference.Named) error {
	return errdefs.ErrNotFound.WithMessage("An image does not exist locally with the tag: " + reference.FamiliarString(named))
}

// pushList lists what makes up an image: blobs, then manifests from the leaves to
// the root.
func (s *Store) pushList(ctx context.Context, r reading) (root ocispec.Descriptor, blobs, manifests []ocispec.Descriptor, err error) {
	if images.IsIndexType(r.target.MediaType) {
		blobs, manifests, err = s.pushIndex(ctx, r.target)
		if err == nil && manifests != nil {
			return r.target, blobs, manifests, nil
		}
		if err != nil {
			return root, nil, nil, err
		}
	}
	p, err := s.parse(ctx, r)
	if err != nil {
		return root, nil, nil, err
	}
	return bare(p.desc), append(p.manifest.Layers, p.manifest.Config), []ocispec.Descriptor{bare(p.desc)}, nil
}

// pushIndex lists a complete index; manifests is nil if something is missing.
func (s *Store) pushIndex(ctx context.Context, index ocispec.Descriptor) (blobs, manifests []ocispec.Descriptor, err error) {
	var parsedIndex ocispec.Index
	if err := s.readJSON(ctx, index, maxManifestBytes, &parsedIndex); err != nil {
		return nil, nil, err
	}
	for _, m := range parsedIndex.Manifests {
		if _, err := s.blobs.Info(ctx, m.Digest); err != nil {
			return nil, nil, nil
		}
		if images.IsIndexType(m.MediaType) {
			b, ms, err := s.pushIndex(ctx, m)
			if err != nil || ms == nil {
				return nil, nil, err
			}
			blobs, manifests = append(blobs, b...), append(manifests, ms...)
			continue
		}
		var manifest ocispec.Manifest
		if err := s.readJSON(ctx, m, maxManifestBytes, &manifest); err != nil {
			return nil, nil, err
		}
		for _, b := range append(manifest.Layers, manifest.Config) {
			if _, err := s.blobs.Info(ctx, b.Digest); err != nil {
				return nil, nil, nil
			}
			blobs = append(blobs, b)
		}
		manifests = append(manifests, bare(m))
	}
	return blobs, append(manifests, bare(index)), nil
}

func (s *Store) pushAll(ctx context.Context, repo *distribution.Repository, root ocispec.Descriptor, blobs, manifests []ocispec.Descriptor, tell *teller) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	var seen sync.Map
	for _, b := range blobs {
		if _, again := seen.LoadOrStore(b.Digest, true); again {
			continue
		}
		tell := tell
		if images.IsConfigType(b.MediaType) {
			tell = nil // it is no layer
		}
		tell.say(b.Digest, "Preparing")
		group.Go(func() error { return s.pushBlob(groupCtx, repo, bare(b), root.Digest, tell) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, m := range manifests {
		if err := s.pushBlob(ctx, repo, m, root.Digest, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) pushBlob(ctx context.Context, repo *distribution.Repository, desc ocispec.Descriptor, root digest.Digest, tell *teller) error {
	ra, err := s.blobs.ReaderAt(ctx, desc)
	if err != nil {
		return fmt.Errorf("read blob to push: %w", err)
	}
	defer ra.Close()
	body := tell.track(desc, content.NewReader(ra), 0, "Pushing")
	existed, err := repo.Push(ctx, desc, root, body)
	if err != nil {
		return err
	}
	if existed {
		tell.say(desc.Digest, "Layer already exists")
	} else {
		tell.say(desc.Digest, "Pushed")
	}
	return nil
}
