package image

import (
	"context"
	"fmt"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/berth-containers/berth/internal/image/name"
	"github.com/berth-containers/berth/internal/image/progress"
	"github.com/berth-containers/berth/internal/image/transfer"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// Push sends the image that ref names to the registry in that name, layers as
// they are in the store, those that the registry has not. Of an index that is
// here in part, or with a platform, the manifest that is here is sent alone. It returns the digest
// and size of the manifest that the tag names now.
func (s *Store) Push(ctx context.Context, ref, platform string, creds Credentials, tell Progress) (digest.Digest, int64, error) {
	named, err := name.ParseNew(ref)
	if err != nil {
		return "", 0, err
	}
	ctx, done, err := s.depot.Lease(s.depot.Scope(ctx))
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
	if here, err := s.depot.HoldBlob(ctx, r.Target.Digest); err != nil || !here {
		return "", 0, noTag(named)
	}
	if r, err = s.choose(ctx, r, platform); err != nil {
		return "", 0, fmt.Errorf("push %s: %w", ref, err)
	}
	set, err := transfer.List(ctx, s.depot, r)
	if err != nil {
		return "", 0, fmt.Errorf("push %s: %w", ref, err)
	}
	repo, err := s.registry.Repository(ctx, named, distribution.Credentials(creds))
	if err != nil {
		return "", 0, err
	}
	t := progress.To(tell)
	t.Event(Event{Status: fmt.Sprintf("The push refers to repository [%s]", named.Name())})
	if err := set.Push(ctx, repo, t); err != nil {
		return "", 0, err
	}
	t.Event(Event{Status: fmt.Sprintf("%s: digest: %s size: %d", tagOf(named), set.Root.Digest, set.Root.Size)})
	return set.Root.Digest, set.Root.Size, nil
}

func noTag(named reference.Named) error {
	return errdefs.ErrNotFound.WithMessage("An image does not exist locally with the tag: " + reference.FamiliarString(named))
}
