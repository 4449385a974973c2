package depot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/berth-containers/berth/internal/snapshot"
)

const (
	// EmptyChain is the chain of an image without layers.
	EmptyChain = "empty"
	// HostChain stands for the running system where others have a chain ID.
	HostChain = "host"
	// upperLabel is where the overlay snapshotter says which directory a layer is.
	upperLabel = "containerd.io/snapshot/overlay.upperdir"
)

// Prepare makes a writable layer above a chain; lowers are the chain's
// directories, the topmost first. NotFound if the chain is not unpacked.
func (s *Depot) Prepare(ctx context.Context, chain, key string) (l snapshot.Layer, lowers []string, err error) {
	s.collecting.RLock()
	defer s.collecting.RUnlock()
	if lowers, err = s.ChainDirs(ctx, chain); err != nil {
		return l, nil, err
	}
	if l, err = s.Writable.Create(key, chain); err != nil {
		return l, nil, err
	}
	if len(lowers) > 0 {
		if err := copyRoot(lowers[0], l.Upper); err != nil {
			s.Writable.Remove(key) //nolint:errcheck // the first error says it
			return l, nil, fmt.Errorf("prepare rootfs %s: %w", key, err)
		}
	}
	return l, lowers, nil
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

// ChainDirs are the directories of a chain, the topmost first.
func (s *Depot) ChainDirs(ctx context.Context, chain string) ([]string, error) {
	switch chain {
	case HostChain:
		return nil, nil
	case EmptyChain:
		dir := filepath.Join(s.Root, "snapshots", "empty")
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
		info, err := s.Layers.Stat(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("look up layer: %w", err)
		}
		dir := info.Labels[upperLabel]
		if !strings.HasPrefix(dir, s.Root) {
			return nil, fmt.Errorf("layer %s has no directory", name)
		}
		dirs = append(dirs, dir)
		name = info.Parent
	}
	s.lowers.Store(chain, dirs)
	return slices.Clone(dirs), nil
}
