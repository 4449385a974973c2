package image

import (
	"context"
	"fmt"

	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/name"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"go.etcd.io/bbolt"
)

// manifestLabel is the label of a record that says which manifest of an index
// was pulled for it.
const manifestLabel = "berth.manifest"

// setNames makes records point to targets, in one transaction, and brings the
// view and index.json in line. An image that loses its last name by it stays
// as a dangling one.
func (s *catalogue) setNames(ctx context.Context, set map[string]manifest.Reading) error {
	s.change.Lock()
	defer s.change.Unlock()
	err := s.depot.DB.Update(func(tx *bbolt.Tx) error {
		ctx := boltutil.WithTransaction(ctx, tx)
		for name, r := range set {
			if err := s.setName(ctx, name, r); err != nil {
				return err
			}
		}
		return s.tidyDangling(ctx)
	})
	if err != nil {
		return fmt.Errorf("name image: %w", err)
	}
	return s.refresh(ctx)
}

func (s *catalogue) setName(ctx context.Context, record string, r manifest.Reading) error {
	img := images.Image{Name: record, Target: manifest.Bare(r.Target)}
	if r.Manifest != "" && r.Manifest != r.Target.Digest {
		img.Labels = map[string]string{manifestLabel: r.Manifest.String()}
	}
	old, err := s.names.Get(ctx, record)
	if errdefs.IsNotFound(err) {
		_, err = s.names.Create(ctx, img)
		return err
	}
	if err != nil {
		return err
	}
	if _, err := s.names.Update(ctx, img, "target", "labels"); err != nil {
		return err
	}
	if old.Target.Digest == r.Target.Digest {
		return nil
	}
	_, err = s.names.Create(ctx, images.Image{Name: name.Dangling + old.Target.Digest.String(), Target: old.Target, Labels: old.Labels})
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// tidyDangling drops the dangling records of targets that have another name.
func (s *catalogue) tidyDangling(ctx context.Context) error {
	records, err := s.names.List(ctx)
	if err != nil {
		return err
	}
	named := map[digest.Digest]bool{}
	for _, r := range records {
		if r.Name != name.Dangling+r.Target.Digest.String() {
			named[r.Target.Digest] = true
		}
	}
	for _, r := range records {
		if r.Name == name.Dangling+r.Target.Digest.String() && named[r.Target.Digest] {
			if err := s.names.Delete(ctx, r.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Tag gives the image that source names another name, target.
func (s *Store) Tag(ctx context.Context, source, target string) error {
	ctx = s.depot.Scope(ctx)
	named, err := name.ParseTag(target)
	if err != nil {
		return err
	}
	v := s.view.Load()
	if v.isHost(source) {
		return invalid("the image %q is the running system and cannot be tagged", HostName)
	}
	img, record, err := v.find(source)
	if err != nil {
		return err
	}
	ctx, done, err := s.depot.Lease(ctx)
	if err != nil {
		return err
	}
	err = s.tag(ctx, named.String(), v.reading(img, record), source)
	done(err)
	return err
}

func (s *Store) tag(ctx context.Context, name string, r manifest.Reading, source string) error {
	// The lease makes a removal of the source at this moment harmless.
	here, err := s.depot.HoldBlob(ctx, r.Target.Digest)
	if err != nil {
		return err
	}
	if !here {
		return noSuchImage(source)
	}
	return s.setNames(ctx, map[string]manifest.Reading{name: r})
}
