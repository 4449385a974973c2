package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Pull brings an image from its registry into the store, several layers at
// once, and names it when all of it is checked and unpacked. platform ""
// is this machine's. Errors have Docker's wording; a broken transfer goes on
// where it stopped when it is tried again within a day.
func (s *Store) Pull(ctx context.Context, ref, platform string, creds Credentials, progress Progress) (Image, error) {
	named, err := parseNew(ref)
	if err != nil {
		return Image{}, err
	}
	want, err := parsePlatform(platform)
	if err != nil {
		return Image{}, err
	}
	ctx, done, err := s.lease(s.scope(ctx))
	if err != nil {
		return Image{}, err
	}
	img, err := s.pull(ctx, named, want, creds, &teller{tell: progress})
	done(err)
	return img, err
}

func (s *Store) pull(ctx context.Context, named reference.Named, want platforms.MatchComparer, creds Credentials, tell *teller) (Image, error) {
	repo, err := s.registry.Repository(ctx, named, distribution.Credentials(creds))
	if err != nil {
		return Image{}, err
	}
	tell.event(Event{ID: tagOf(named), Status: "Pulling from " + reference.Path(named)})
	target, err := repo.Resolve(ctx)
	if err != nil {
		return Image{}, err
	}
	p, err := s.pullManifest(ctx, repo, target, want)
	if err != nil {
		return Image{}, fmt.Errorf("pull %s: %w", reference.FamiliarString(named), err)
	}
	fresh := s.view.Load().lacks(named, reading{target, p.desc.Digest})
	if err := s.install(ctx, p, openBlob(repo), tell); err != nil {
		return Image{}, fmt.Errorf("pull %s: %w", reference.FamiliarString(named), err)
	}
	if err := s.adopt(ctx, target, p); err != nil {
		return Image{}, err
	}
	if err := s.setNames(ctx, map[string]reading{named.String(): {target, p.desc.Digest}}); err != nil {
		return Image{}, err
	}
	tell.event(Event{Status: "Digest: " + target.Digest.String()})
	if fresh {
		tell.event(Event{Status: "Status: Downloaded newer image for " + reference.FamiliarString(named)})
	} else {
		tell.event(Event{Status: "Status: Image is up to date for " + reference.FamiliarString(named)})
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

func openBlob(repo *distribution.Repository) opener {
	return func(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
		return repo.Fetch(ctx, desc, offset)
	}
}

// pullManifest fetches the manifest of target for a platform, the indexes on
// the way to it, and the configuration.
func (s *Store) pullManifest(ctx context.Context, repo *distribution.Repository, target ocispec.Descriptor, want platforms.MatchComparer) (*parsed, error) {
	desc := target
	for depth := 0; ; depth++ {
		if err := s.pullSmall(ctx, repo, desc, maxManifestBytes); err != nil {
			return nil, err
		}
		if !images.IsIndexType(desc.MediaType) {
			break
		}
		var index ocispec.Index
		if err := s.readJSON(ctx, desc, maxManifestBytes, &index); err != nil {
			return nil, err
		}
		child, err := choose(index, want, nil)
		if err != nil {
			return nil, fmt.Errorf("%w; it has %s", err, platformsOf(index))
		}
		if desc = child; depth > 4 {
			return nil, invalid("image index %s is nested too deeply", target.Digest)
		}
	}
	if !images.IsManifestType(desc.MediaType) {
		return nil, invalid("%s is of type %q, not an image", desc.Digest, desc.MediaType)
	}
	p := &parsed{desc: desc}
	if err := s.readJSON(ctx, desc, maxManifestBytes, &p.manifest); err != nil {
		return nil, err
	}
	if !images.IsConfigType(p.manifest.Config.MediaType) {
		return nil, invalid("%s has a configuration of type %q: it is not a container image", desc.Digest, p.manifest.Config.MediaType)
	}
	if err := s.pullSmall(ctx, repo, p.manifest.Config, maxConfigBytes); err != nil {
		return nil, err
	}
	if err := s.readJSON(ctx, p.manifest.Config, maxConfigBytes, &p.config); err != nil {
		return nil, err
	}
	return p, p.check()
}

// pullSmall fetches a manifest or a configuration into the store, if needed.
func (s *Store) pullSmall(ctx context.Context, repo *distribution.Repository, desc ocispec.Descriptor, limit int64) error {
	if err := desc.Digest.Validate(); err != nil {
		return invalid("digest %q: %v", desc.Digest, err)
	}
	here, err := s.holdBlob(ctx, desc.Digest)
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
	return s.writeDescribed(ctx, desc, b)
}

func platformsOf(index ocispec.Index) string {
	var all []string
	for _, m := range index.Manifests {
		if m.Platform != nil && !isAttestation(&m) {
			all = append(all, platforms.Format(*m.Platform))
		}
	}
	return strings.Join(all, ", ")
}

// asTruncated words the end of a connection in the middle of a layer.
func asTruncated(err error, got, want int64) error {
	if errors.Is(err, io.ErrUnexpectedEOF) && got < want {
		return truncated{got: got, want: want}
	}
	return err
}
