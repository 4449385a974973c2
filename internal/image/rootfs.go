package image

import (
	"context"
	"fmt"

	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/snapshot"
	"github.com/containerd/errdefs"
)

// PrepareRootfs makes a writable layer above an image under key and unpacks
// the image first if that was not done yet. AlreadyExists if key is taken.
func (s *Store) PrepareRootfs(ctx context.Context, img Image, key string) (oci.Rootfs, error) {
	ctx = s.depot.Scope(ctx)
	chain := chainOf(&img)
	s.used.note(chain)
	l, lowers, err := s.depot.Prepare(ctx, chain, key)
	if !errdefs.IsNotFound(err) {
		return s.rootfs(l, lowers), err
	}
	done, err := s.install.Again(ctx, manifest.Reading{Target: img.Target, Manifest: img.Manifest.Digest})
	if err != nil {
		return oci.Rootfs{}, fmt.Errorf("unpack image %s: %w", img.ID, err)
	}
	l, lowers, err = s.depot.Prepare(ctx, chain, key)
	done(err)
	return s.rootfs(l, lowers), err
}

// Rootfs returns the rootfs under key, or NotFound.
func (s *Store) Rootfs(ctx context.Context, key string) (oci.Rootfs, error) {
	l, err := s.depot.Writable.Get(key)
	if err != nil {
		return oci.Rootfs{}, err
	}
	lowers, err := s.depot.ChainDirs(s.depot.Scope(ctx), l.Chain)
	if err != nil {
		return oci.Rootfs{}, err
	}
	return s.rootfs(l, lowers), nil
}

// RemoveRootfs takes the rootfs under key away, if there is one; its files are
// deleted in the background.
func (s *Store) RemoveRootfs(_ context.Context, key string) error {
	if s.room.Reclaimer != nil {
		if l, err := s.depot.Writable.Get(key); err == nil {
			s.used.note(l.Chain)
		}
	}
	return s.depot.Writable.Remove(key)
}

// SweepRootfs removes every rootfs that keep does not want.
func (s *Store) SweepRootfs(ctx context.Context, keep func(key string) bool) error {
	keys, err := s.depot.Writable.Keys()
	if err != nil {
		return err
	}
	for _, key := range keys {
		if keep(key) {
			continue
		}
		if err := s.RemoveRootfs(ctx, key); err != nil {
			return err
		}
	}
	s.depot.CollectLater()
	return nil
}

func (s *Store) rootfs(l snapshot.Layer, lowers []string) oci.Rootfs {
	r := oci.Rootfs{Lowers: lowers, Upper: l.Upper, Work: l.Work}
	if l.Chain == depot.HostChain {
		r.Host, r.Hidden = true, hostHidden("/", s.hidden)
	}
	return r
}
