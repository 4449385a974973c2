package image

import (
	"context"
	"fmt"
	"slices"

	"github.com/berth-containers/berth/internal/image/name"
	"github.com/berth-containers/berth/internal/image/progress"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"go.etcd.io/bbolt"
)

// Remove takes a name from an image, and the image away with its last name.
// By ID all names go, which needs force if they are of several repositories.
// inUse names a container of the image, or "": such an image stays, and with
// force it only loses its names. What is not needed any more is deleted in the
// background.
func (s *Store) Remove(ctx context.Context, ref string, force bool, inUse func(digest.Digest) string) ([]Removed, error) {
	ctx = s.depot.Scope(ctx)
	s.change.Lock()
	defer s.change.Unlock()
	plan, err := s.planRemoval(ref, force, inUse)
	if err != nil {
		return nil, err
	}
	err = s.depot.DB.Update(func(tx *bbolt.Tx) error {
		ctx := boltutil.WithTransaction(ctx, tx)
		for _, name := range plan.drop {
			if err := s.names.Delete(ctx, name); err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
		if plan.keep == nil {
			return nil
		}
		_, err := s.names.Create(ctx, *plan.keep)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("remove image %s: %w", ref, err)
	}
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	s.depot.CollectLater()
	return plan.said, nil
}

// removal is what a Remove does to the records.
type removal struct {
	drop []string
	keep *images.Image // a dangling record for an image that is in use
	said []Removed
}

func (s *catalogue) planRemoval(ref string, force bool, inUse func(digest.Digest) string) (*removal, error) {
	v := s.view.Load()
	if v.isHost(ref) {
		return nil, conflict("the image %q is the running system and cannot be removed", HostName)
	}
	img, record, err := v.find(ref)
	if record != "" && img == nil {
		return &removal{drop: []string{record}, said: []Removed{{Untagged: ref}}}, nil // unreadable
	}
	if err != nil {
		return nil, err
	}
	records := v.namesOf(img.ID)
	if record != "" && len(records) > 1 {
		return v.dropNames(img, record), nil
	}
	if record == "" && !force && repositories(records) > 1 {
		return nil, conflict("unable to delete %s (must be forced) - image is referenced in multiple repositories", progress.ShortID(img.ID))
	}
	user := inUse(img.ID)
	switch {
	case user != "" && repositories(records) == 0:
		return nil, conflict("unable to delete %s (cannot be forced) - image is being used by container %s", progress.ShortID(img.ID), short(user))
	case user != "" && !force && record != "":
		return nil, conflict("unable to remove repository reference %q (must force) - container %s is using its referenced image %s", ref, short(user), progress.ShortID(img.ID))
	case user != "" && !force:
		return nil, conflict("unable to delete %s (must be forced) - image is being used by container %s", progress.ShortID(img.ID), short(user))
	}
	r := v.dropNames(img, names(records)...)
	if user != "" {
		r.keep = &images.Image{Name: name.Dangling + img.Target.Digest.String(), Target: img.Target, Labels: map[string]string{manifestLabel: img.Manifest.Digest.String()}}
		return r, nil
	}
	r.said = append(r.said, Removed{Deleted: img.ID.String()})
	return r, nil
}

// dropNames drops records of an image and says so as Docker does: a digest
// goes with the last name of its repository.
func (v *view) dropNames(img *Image, drop ...string) *removal {
	r := &removal{drop: drop}
	left := map[string]bool{}
	for _, rec := range v.namesOf(img.ID) {
		if !slices.Contains(drop, rec.Name) {
			left[name.Repository(rec.Name)] = true
		}
	}
	told := map[string]bool{}
	for _, record := range drop {
		if text, _ := name.Familiar(record); text != "" && !told[text] {
			told[text] = true
			r.said = append(r.said, Removed{Untagged: text})
		}
	}
	for _, rec := range v.namesOf(img.ID) {
		repo := name.Repository(rec.Name)
		text := repo + "@" + rec.Target.Digest.String()
		if slices.Contains(drop, rec.Name) && repo != "" && !left[repo] && !told[text] {
			told[text] = true
			r.said = append(r.said, Removed{Untagged: text})
		}
	}
	return r
}

func names(records []images.Image) []string {
	var all []string
	for _, r := range records {
		all = append(all, r.Name)
	}
	return all
}

// repositories counts the repositories among records, dangling ones not.
func repositories(records []images.Image) int {
	seen := map[string]bool{}
	for _, r := range records {
		if repo := name.Repository(r.Name); repo != "" {
			seen[repo] = true
		}
	}
	return len(seen)
}

func conflict(format string, args ...any) error {
	return errdefs.ErrConflict.WithMessage("conflict: " + fmt.Sprintf(format, args...))
}

func short(id string) string {
	if len(id) == 64 {
		return id[:12]
	}
	return id
}
