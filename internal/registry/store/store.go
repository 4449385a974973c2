// Package store is what the registry keeps beside what the distribution
// library does: it reads that library's layout on a storage driver to list
// repositories, to collect garbage while pushes run, to keep referrers, to
// count what a quota limits and to check that all is there.
//
// Words: a blob is content in the global pool, named by its canonical (SHA-256)
// digest. A repository has links to blobs: revisions for manifests, layers for
// everything else. A link may have a name of another algorithm (an alias); what
// is in it is always the canonical digest. A lease protects a digest from the
// collection while somebody pushes what needs it.
//
// A link is written whole or not at all, and always after the blob and removed
// before it, so a crash at any moment leaves at most blobs that nothing links
// to (the next collection takes them), uploads that can be resumed, and
// temporary files. A referrer's entry is written before its manifest and counts
// only while that is there.
package store

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
)

const (
	root      = "/docker/registry/v2"
	reposRoot = root + "/repositories"
	blobsRoot = root + "/blobs"
)

// Store reads and keeps what is on one storage driver.
type Store struct {
	Leases *Leases
	driver driver.StorageDriver
}

// New uses a driver; the distribution library may use another one on the same storage.
func New(d driver.StorageDriver) *Store {
	return &Store{Leases: newLeases(), driver: d}
}

// Link is a repository's name for a blob.
type Link struct {
	Name      digest.Digest // what the client asked for
	Canonical digest.Digest // what the blob is called
}

func blobDir(d digest.Digest) string {
	return fmt.Sprintf("%s/%s/%s/%s", blobsRoot, d.Algorithm(), d.Encoded()[:2], d.Encoded())
}

func revisionsDir(repository string) string {
	return path.Join(reposRoot, repository, "_manifests/revisions")
}
func layersDir(repository string) string  { return path.Join(reposRoot, repository, "_layers") }
func tagsDir(repository string) string    { return path.Join(reposRoot, repository, "_manifests/tags") }
func uploadsDir(repository string) string { return path.Join(reposRoot, repository, "_uploads") }

func under(dir string, d digest.Digest) string {
	return path.Join(dir, d.Algorithm().String(), d.Encoded())
}

func isMissing(err error) bool {
	var missing driver.PathNotFoundError
	return errors.As(err, &missing)
}

// list gives the names in a folder, sorted; none if there is no such folder.
func (s *Store) list(ctx context.Context, dir string) ([]string, error) {
	paths, err := s.driver.List(ctx, dir)
	if err != nil {
		if isMissing(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = path.Base(p)
	}
	slices.Sort(names)
	return names, nil
}

// Repositories gives the names of all repositories to yield, in order, also of
// those in which nothing is left.
func (s *Store) Repositories(ctx context.Context, yield func(name string) error) error {
	return s.repositories(ctx, "", yield)
}

func (s *Store) repositories(ctx context.Context, name string, yield func(string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	names, err := s.list(ctx, path.Join(reposRoot, name))
	if err != nil {
		return err
	}
	if name != "" && slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "_") }) {
		if err := yield(name); err != nil {
			return err
		}
	}
	for _, child := range names {
		if strings.HasPrefix(child, "_") {
			continue
		}
		if err := s.repositories(ctx, path.Join(name, child), yield); err != nil {
			return err
		}
	}
	return nil
}

// Used says whether a repository has a tag or a manifest.
func (s *Store) Used(ctx context.Context, repository string) (bool, error) {
	tags, err := s.Tags(ctx, repository)
	if err != nil || len(tags) > 0 {
		return len(tags) > 0, err
	}
	links, err := s.Manifests(ctx, repository)
	return len(links) > 0, err
}

// Tags lists a repository's tags, sorted.
func (s *Store) Tags(ctx context.Context, repository string) ([]string, error) {
	return s.list(ctx, tagsDir(repository))
}

// Resolve gives the canonical digest of a tag; NotFound.
func (s *Store) Resolve(ctx context.Context, repository, tag string) (digest.Digest, error) {
	return s.readLink(ctx, path.Join(tagsDir(repository), tag, "current/link"))
}

// Revision gives the canonical digest of a manifest of a repository; NotFound.
func (s *Store) Revision(ctx context.Context, repository string, d digest.Digest) (digest.Digest, error) {
	return s.readLink(ctx, under(revisionsDir(repository), d)+"/link")
}

// Layer gives the canonical digest of another blob of a repository; NotFound.
func (s *Store) Layer(ctx context.Context, repository string, d digest.Digest) (digest.Digest, error) {
	return s.readLink(ctx, under(layersDir(repository), d)+"/link")
}

// LinkRevision gives a manifest one more name.
func (s *Store) LinkRevision(ctx context.Context, repository string, l Link) error {
	return s.driver.PutContent(ctx, under(revisionsDir(repository), l.Name)+"/link", []byte(l.Canonical))
}

// LinkLayer gives another blob one more name.
func (s *Store) LinkLayer(ctx context.Context, repository string, l Link) error {
	return s.driver.PutContent(ctx, under(layersDir(repository), l.Name)+"/link", []byte(l.Canonical))
}

// UnlinkAliases removes the names of other algorithms that a manifest has in a repository.
func (s *Store) UnlinkAliases(ctx context.Context, repository string, canonical digest.Digest) error {
	algorithms, err := s.list(ctx, revisionsDir(repository))
	if err != nil {
		return err
	}
	for _, a := range algorithms {
		if digest.Algorithm(a) == canonical.Algorithm() {
			continue
		}
		links, err := s.linksOf(ctx, revisionsDir(repository), a)
		if err != nil {
			return err
		}
		for _, l := range links {
			if l.Canonical == canonical {
				if err := s.remove(ctx, under(revisionsDir(repository), l.Name)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// remove deletes a folder; none is no error.
func (s *Store) remove(ctx context.Context, dir string) error {
	if err := s.driver.Delete(ctx, dir); err != nil && !isMissing(err) {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}

func (s *Store) readLink(ctx context.Context, file string) (digest.Digest, error) {
	b, err := s.driver.GetContent(ctx, file)
	if err != nil {
		if isMissing(err) {
			return "", errdefs.ErrNotFound
		}
		return "", fmt.Errorf("read link: %w", err)
	}
	d, err := digest.Parse(strings.TrimSpace(string(b)))
	if err != nil {
		return "", errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("the link %s holds no digest: %q", file, b))
	}
	return d, nil
}

// links lists the links in a folder of links, of all algorithms.
func (s *Store) links(ctx context.Context, dir string) ([]Link, error) {
	algorithms, err := s.list(ctx, dir)
	if err != nil {
		return nil, err
	}
	var all []Link
	for _, a := range algorithms {
		l, err := s.linksOf(ctx, dir, a)
		if err != nil {
			return nil, err
		}
		all = append(all, l...)
	}
	return all, nil
}

func (s *Store) linksOf(ctx context.Context, dir, algorithm string) ([]Link, error) {
	names, err := s.list(ctx, path.Join(dir, algorithm))
	if err != nil {
		return nil, err
	}
	var links []Link
	for _, n := range names {
		name := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), n)
		if name.Validate() != nil {
			continue
		}
		canonical, err := s.readLink(ctx, path.Join(dir, algorithm, n, "link"))
		if errdefs.IsNotFound(err) {
			continue // an empty folder that a deletion left
		}
		if err != nil {
			return nil, err
		}
		links = append(links, Link{name, canonical})
	}
	return links, nil
}

// Manifests lists the manifests of a repository.
func (s *Store) Manifests(ctx context.Context, repository string) ([]Link, error) {
	return s.links(ctx, revisionsDir(repository))
}

// Manifest reads a manifest's content by its canonical digest; NotFound.
func (s *Store) Manifest(ctx context.Context, canonical digest.Digest) ([]byte, error) {
	b, err := s.driver.GetContent(ctx, blobDir(canonical)+"/data")
	if isMissing(err) {
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("no blob %s", canonical))
	}
	return b, err
}

// ReadManifest reads and parses a manifest by its canonical digest; NotFound.
func (s *Store) ReadManifest(ctx context.Context, canonical digest.Digest) (Manifest, error) {
	content, err := s.Manifest(ctx, canonical)
	if err != nil {
		return Manifest{}, err
	}
	return ParseManifest(content)
}

// TouchLayers protects blobs by the names that a repository has for them.
func (s *Store) TouchLayers(ctx context.Context, repository string, names ...digest.Digest) error {
	for _, d := range names {
		if d.Algorithm() != digest.Canonical {
			canonical, err := s.Layer(ctx, repository, d)
			if errdefs.IsNotFound(err) {
				continue
			}
			if err != nil {
				return err
			}
			d = canonical
		}
		if err := s.Leases.Touch(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// TouchManifest protects a manifest of a repository and all that it holds.
func (s *Store) TouchManifest(ctx context.Context, repository string, d digest.Digest) error {
	if err := s.Leases.Touch(ctx, d); err != nil {
		return err
	}
	canonical, err := s.Revision(ctx, repository, d)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	content, err := s.Manifest(ctx, canonical)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := ParseManifest(content)
	if err != nil {
		return err
	}
	layers, parts := m.Content()
	if err := s.TouchLayers(ctx, repository, append(layers, canonical)...); err != nil {
		return err
	}
	for _, part := range parts {
		if err := s.TouchManifest(ctx, repository, part); err != nil {
			return err
		}
	}
	return nil
}

// Size is that of a blob in bytes; NotFound.
func (s *Store) Size(ctx context.Context, canonical digest.Digest) (int64, error) {
	info, err := s.driver.Stat(ctx, blobDir(canonical)+"/data")
	if err != nil {
		if isMissing(err) {
			return 0, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("no blob %s", canonical))
		}
		return 0, err
	}
	return info.Size(), nil
}

// UploadSize is what an upload has received so far, in bytes; 0 for an unknown one.
func (s *Store) UploadSize(ctx context.Context, repository, id string) (int64, error) {
	info, err := s.driver.Stat(ctx, path.Join(uploadsDir(repository), id, "data"))
	if err != nil {
		if isMissing(err) {
			return 0, nil
		}
		return 0, err
	}
	return info.Size(), nil
}

// Ping asks the storage for something, to see that it answers.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.driver.Stat(ctx, "/")
	if isMissing(err) {
		return nil // it answered; nothing was pushed yet
	}
	return err
}
