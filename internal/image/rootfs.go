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
	done, err := s.unpackAgain(ctx, &img)
	if err != nil {
		return oci.Rootfs{}, err
	}
	l, lowers, err = s.depot.Prepare(ctx, chain, key)
	done(err)
	return s.rootfs(l, lowers), err
}

// unpackAgain unpacks an image whose layers are not, or no longer, unpacked.
func (s *Store) unpackAgain(ctx context.Context, img *Image) (done func(error), err error) {
	done, err = s.install.Again(ctx, manifest.Reading{Target: img.Target, Manifest: img.Manifest.Digest})
	if err != nil {
		return nil, fmt.Errorf("unpack image %s: %w", img.ID, err)
	}
	s.change.Lock()
	defer s.change.Unlock()
	if err := s.refresh(ctx); err != nil { // its size is another one
		done(err)
		return nil, err
	}
	return done, nil
}

// Rootfs returns the rootfs under key, or NotFound.
func (s *Store) Rootfs(ctx context.Context, key string) (oci.Rootfs, error) {
	l, err := s.depot.Writable.Get(key)
	if err != nil {
		return oci.Rootfs{}, err
	}
	ctx = s.depot.Scope(ctx)
	lowers, err := s.depot.ChainDirs(ctx, l.Chain)
	if errdefs.IsNotFound(err) {
		lowers, err = s.restore(ctx, l.Chain)
	}
	if err != nil {
		return oci.Rootfs{}, err
	}
	return s.rootfs(l, lowers), nil
}

// restore unpacks a chain below a rootfs that went with a crash of the machine.
// The rootfs owns it.
func (s *Store) restore(ctx context.Context, chain string) ([]string, error) {
	for _, img := range s.view.Load().images {
		if chainOf(img) != chain {
			continue
		}
		done, err := s.unpackAgain(ctx, img)
		if err != nil {
			return nil, err
		}
		dirs, err := s.depot.ChainDirs(ctx, chain)
		done(err)
		return dirs, err
	}
	return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("no image has the layers %s of this root filesystem any more; pull the container's image again", chain))
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
