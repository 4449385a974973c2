package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/snapshot"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/identity"
)

// upperLabel is where the overlay snapshotter says which directory a layer is.
const upperLabel = "containerd.io/snapshot/overlay.upperdir"

// emptyChain is the chain of an image without layers.
const emptyChain = "empty"

// PrepareRootfs makes a writable layer above an image under key and unpacks
// the image first if that was not done yet. AlreadyExists if key is taken.
func (s *Store) PrepareRootfs(ctx context.Context, img Image, key string) (oci.Rootfs, error) {
	ctx = s.scope(ctx)
	chain := emptyChain
	switch {
	case img.Host:
		chain = hostChain
	case len(img.Layers) > 0:
		chain = identity.ChainID(img.Layers).String()
	}
	rootfs, err := s.prepare(ctx, chain, key)
	if !errdefs.IsNotFound(err) {
		return rootfs, err
	}
	done, err := s.unpackAgain(ctx, img)
	if err != nil {
		return oci.Rootfs{}, fmt.Errorf("unpack image %s: %w", img.ID, err)
	}
	rootfs, err = s.prepare(ctx, chain, key)
	done(err)
	return rootfs, err
}

func (s *Store) prepare(ctx context.Context, chain, key string) (oci.Rootfs, error) {
	s.collecting.RLock()
	defer s.collecting.RUnlock()
	lowers, err := s.chainDirs(ctx, chain)
	if err != nil {
		return oci.Rootfs{}, err
	}
	l, err := s.writable.Create(key, chain)
	if err != nil {
		return oci.Rootfs{}, err
	}
	if len(lowers) > 0 {
		if err := copyRoot(lowers[0], l.Upper); err != nil {
			s.RemoveRootfs(ctx, key) //nolint:errcheck // the first error says it
			return oci.Rootfs{}, fmt.Errorf("prepare rootfs %s: %w", key, err)
		}
	}
	return s.rootfs(l, lowers), nil
}

// copyRoot gives the upper directory the owner of the image's root directory:
// overlayfs shows the upper's.
func copyRoot(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	if st.Uid == 0 && st.Gid == 0 && info.Mode().Perm() == 0o755 {
		return nil
	}
	if err := os.Chown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return os.Chmod(to, info.Mode())
}

// Rootfs returns the rootfs under key, or NotFound.
func (s *Store) Rootfs(ctx context.Context, key string) (oci.Rootfs, error) {
	l, err := s.writable.Get(key)
	if err != nil {
		return oci.Rootfs{}, err
	}
	lowers, err := s.chainDirs(s.scope(ctx), l.Chain)
	if err != nil {
		return oci.Rootfs{}, err
	}
	return s.rootfs(l, lowers), nil
}

// RemoveRootfs takes the rootfs under key away, if there is one; its files are
// deleted in the background.
func (s *Store) RemoveRootfs(_ context.Context, key string) error {
	return s.writable.Remove(key)
}

// SweepRootfs removes every rootfs that keep does not want.
func (s *Store) SweepRootfs(ctx context.Context, keep func(key string) bool) error {
	keys, err := s.writable.Keys()
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
	s.collectLater()
	return nil
}

func (s *Store) rootfs(l snapshot.Layer, lowers []string) oci.Rootfs {
	r := oci.Rootfs{Lowers: lowers, Upper: l.Upper, Work: l.Work}
	if l.Chain == hostChain {
		r.Host, r.Hidden = true, hostHidden("/", s.hidden)
	}
	return r
}

// chainDirs are the directories of a chain, the topmost first.
func (s *depot) chainDirs(ctx context.Context, chain string) ([]string, error) {
	switch chain {
	case hostChain:
		return nil, nil
	case emptyChain:
		dir := filepath.Join(s.root, "snapshots", "empty")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make empty layer: %w", err)
		}
		return []string{dir}, nil
	}
	if dirs, ok := s.lowers.Load(chain); ok {
		return slices.Clone(dirs.([]string)), nil
	}
	var dirs []string
	for name := chain; name != ""; {
		info, err := s.layers.Stat(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("look up layer: %w", err)
		}
		dir := info.Labels[upperLabel]
		if !strings.HasPrefix(dir, s.root) {
			return nil, fmt.Errorf("layer %s has no directory", name)
		}
		dirs = append(dirs, dir)
		name = info.Parent
	}
	s.lowers.Store(chain, dirs)
	return slices.Clone(dirs), nil
}
