package image

import (
	"context"
	"fmt"
	"slices"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/berth-containers/berth/internal/image/manifest"
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
	if err := set.Push(ctx, repo, s.sources(ctx, v, named, set), t); err != nil {
		return "", 0, err
	}
	t.Event(Event{Status: fmt.Sprintf("%s: digest: %s size: %d", tagOf(named), set.Root.Digest, set.Root.Size)})
	return set.Root.Digest, set.Root.Size, nil
}

// maxRead is how many other images are looked through for where a registry has
// the blobs of one that is pushed.
const maxRead = 64

// sources tells in which other repositories of the registry the blobs of set may
// be: those in which an image with the same blob has a name.
func (s *catalogue) sources(ctx context.Context, v *view, to reference.Named, set *transfer.Set) func(digest.Digest) []string {
	wanted := map[digest.Digest]bool{}
	for _, d := range set.Blobs() {
		wanted[d] = true
	}
	found := map[digest.Digest][]string{}
	read := map[string]bool{} // reading and repository
	for _, r := range v.records {
		named, err := name.Parse(r.Name)
		if err != nil || reference.Domain(named) != reference.Domain(to) || reference.Path(named) == reference.Path(to) {
			continue
		}
		key := readingOf(r).Key() + " " + reference.Path(named)
		if read[key] || len(read) >= maxRead {
			continue
		}
		read[key] = true
		p, err := manifest.Read(ctx, s.depot, readingOf(r))
		if err != nil {
			continue // it is no source then
		}
		for _, b := range append(p.Manifest.Layers, p.Manifest.Config) {
			if wanted[b.Digest] && !slices.Contains(found[b.Digest], reference.Path(named)) {
				found[b.Digest] = append(found[b.Digest], reference.Path(named))
			}
		}
	}
	return func(d digest.Digest) []string { return found[d] }
}

func noTag(named reference.Named) error {
	return errdefs.ErrNotFound.WithMessage("An image does not exist locally with the tag: " + reference.FamiliarString(named))
}
