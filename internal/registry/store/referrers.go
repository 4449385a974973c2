package store

import (
	"context"
	"encoding/json"
	"fmt"
	"path"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func referrersDir(repository string) string { return path.Join(reposRoot, repository, "_referrers") }

// AddReferrer notes that a manifest has a subject. It comes before the manifest.
func (s *Store) AddReferrer(ctx context.Context, repository string, subject digest.Digest, d ocispec.Descriptor) error {
	b, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode referrer: %w", err)
	}
	file := path.Join(under(under(referrersDir(repository), subject), d.Digest), "descriptor")
	if err := s.driver.PutContent(ctx, file, b); err != nil {
		return fmt.Errorf("write referrer: %w", err)
	}
	return nil
}

// Referrers lists the manifests of a repository that have this subject.
func (s *Store) Referrers(ctx context.Context, repository string, subject digest.Digest) ([]ocispec.Descriptor, error) {
	list := []ocispec.Descriptor{}
	err := s.eachReferrer(ctx, repository, under(referrersDir(repository), subject), func(file string, there bool) error {
		if !there {
			return nil
		}
		b, err := s.driver.GetContent(ctx, file)
		if err != nil {
			return fmt.Errorf("read referrer: %w", err)
		}
		var d ocispec.Descriptor
		if err := json.Unmarshal(b, &d); err != nil {
			return errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("the referrer %s is no descriptor: %v", file, err))
		}
		list = append(list, d)
		return nil
	})
	return list, err
}

// eachReferrer gives each entry of a subject to yield, and whether its manifest is there.
func (s *Store) eachReferrer(ctx context.Context, repository, dir string, yield func(file string, there bool) error) error {
	algorithms, err := s.list(ctx, dir)
	if err != nil {
		return err
	}
	for _, a := range algorithms {
		names, err := s.list(ctx, path.Join(dir, a))
		if err != nil {
			return err
		}
		for _, n := range names {
			d := digest.NewDigestFromEncoded(digest.Algorithm(a), n)
			if d.Validate() != nil {
				continue
			}
			_, err := s.Revision(ctx, repository, d)
			if err != nil && !errdefs.IsNotFound(err) {
				return err
			}
			if err := yield(path.Join(dir, a, n, "descriptor"), err == nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// referrers removes entries whose manifest is gone. One that a push just wrote
// is younger than the grace.
func (c *collection) referrers(ctx context.Context, repository string) error {
	dir := referrersDir(repository)
	algorithms, err := c.s.list(ctx, dir)
	if err != nil {
		return err
	}
	for _, a := range algorithms {
		subjects, err := c.s.list(ctx, path.Join(dir, a))
		if err != nil {
			return err
		}
		for _, subject := range subjects {
			err := c.s.eachReferrer(ctx, repository, path.Join(dir, a, subject), func(file string, there bool) error {
				young, err := c.young(ctx, file)
				if err != nil || there || young || c.opt.DryRun {
					return err
				}
				return c.s.remove(ctx, path.Dir(file))
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
