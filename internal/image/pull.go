package image

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/name"
	"github.com/berth-containers/berth/internal/image/progress"
	"github.com/berth-containers/berth/internal/image/transfer"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"
)

// Pull brings an image from its registry into the store, several layers at
// once, and names it when all of it is checked and unpacked. platform ""
// is this machine's. Errors have Docker's wording; a broken transfer goes on
// where it stopped when it is tried again within a day.
func (s *Store) Pull(ctx context.Context, ref, platform string, creds Credentials, tell Progress) (Image, error) {
	named, err := name.ParseNew(ref)
	if err != nil {
		return Image{}, err
	}
	if _, err := manifest.ParsePlatform(platform); err != nil {
		return Image{}, err
	}
	ctx = s.depot.Scope(ctx)
	img, err := s.pullOnce(ctx, named, platform, creds, tell)
	if errors.Is(err, syscall.ENOSPC) && (reclaimable{s}).makeRoom(ctx, named.String()) {
		img, err = s.pullOnce(ctx, named, platform, creds, tell)
	}
	if errors.Is(err, syscall.ENOSPC) {
		// What was fetched would only be in the way.
		if err := s.depot.Resumed(ctx, named.String()); err != nil {
			s.depot.Log.Warn("drop what was fetched", "error", err)
		}
	}
	s.room.Kick()
	return img, err
}

func (s *Store) pullOnce(ctx context.Context, named reference.Named, platform string, creds Credentials, tell Progress) (Image, error) {
	ctx, done, err := s.depot.LeasePull(ctx, named.String())
	if err != nil {
		return Image{}, err
	}
	img, err := s.pull(ctx, named, platform, creds, progress.To(tell))
	if keepErr := keepFetched(ctx, s.depot, named.String(), err); keepErr != nil {
		s.depot.Log.Warn("keep what was fetched", "error", keepErr)
	}
	done(err)
	return img, err
}

// keepFetched keeps the layers of a pull that can be tried again.
func keepFetched(ctx context.Context, d *depot.Depot, name string, err error) error {
	switch {
	case err == nil:
		return d.Resumed(ctx, name)
	case ctx.Err() != nil, errdefs.IsUnavailable(err), errors.Is(err, syscall.ENOSPC):
		return d.Keep(ctx, name)
	}
	return nil
}

// Tags lists the tags that the registry has of a repository.
func (s *Store) Tags(ctx context.Context, repository string, creds Credentials) ([]string, error) {
	named, err := name.ParseNew(repository)
	if err != nil {
		return nil, err
	}
	repo, err := s.registry.Repository(ctx, named, distribution.Credentials(creds))
	if err != nil {
		return nil, err
	}
	return repo.Tags(ctx)
}

// Login checks credentials with a registry: a host, or an address as it is in
// Docker's configuration. Unauthenticated if they are refused.
func (s *Store) Login(ctx context.Context, server string, creds Credentials) error {
	return s.registry.Login(ctx, name.Server(server), distribution.Credentials(creds))
}

// Search asks a registry for repositories by a part of their name.
func (s *Store) Search(ctx context.Context, server, term string, limit int, creds Credentials) ([]registry.SearchResult, error) {
	return s.registry.Search(ctx, name.Server(server), term, limit, distribution.Credentials(creds))
}

func (s *Store) pull(ctx context.Context, named reference.Named, platform string, creds Credentials, tell *progress.Teller) (Image, error) {
	repo, err := s.registry.Repository(ctx, named, distribution.Credentials(creds))
	if err != nil {
		return Image{}, err
	}
	tell.Event(Event{ID: tagOf(named), Status: "Pulling from " + reference.Path(named)})
	target, err := repo.Resolve(ctx)
	if err != nil {
		return Image{}, err
	}
	p, err := transfer.Manifest(ctx, s.depot, repo, target, platform)
	if err != nil {
		return Image{}, fmt.Errorf("pull %s: %w", reference.FamiliarString(named), err)
	}
	fresh := s.view.Load().lacks(named, manifest.Reading{Target: target, Manifest: p.Desc.Digest})
	if err := s.install.Install(ctx, p, transfer.Opener(repo), tell); err != nil {
		return Image{}, fmt.Errorf("pull %s: %w", reference.FamiliarString(named), err)
	}
	if err := manifest.Adopt(ctx, s.depot, target, p); err != nil {
		return Image{}, err
	}
	if err := s.setNames(ctx, map[string]manifest.Reading{named.String(): {Target: target, Manifest: p.Desc.Digest}}); err != nil {
		return Image{}, err
	}
	tell.Event(Event{Status: "Digest: " + target.Digest.String()})
	if fresh {
		tell.Event(Event{Status: "Status: Downloaded newer image for " + reference.FamiliarString(named)})
	} else {
		tell.Event(Event{Status: "Status: Image is up to date for " + reference.FamiliarString(named)})
	}
	return s.Get(ctx, named.String())
}

func tagOf(named reference.Named) string {
	if t, ok := named.(reference.Tagged); ok {
		return t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		return d.Digest().String()
	}
	return ""
}
