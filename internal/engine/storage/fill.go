package storage

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"

	"github.com/berth-containers/berth/internal/archive"
	"github.com/berth-containers/berth/internal/container"
)

// Fill copies what the image has at the destination of an empty volume into
// that. reach returns the container's mount namespace.
func (s *Store) Fill(ctx context.Context, r *container.Record, lowers []string, reach func() (*os.File, error)) error {
	var ns *os.File
	for _, m := range r.Mounts {
		if m.Type != mount.TypeVolume || m.NoCopy || !inImage(lowers, m.Destination) {
			continue
		}
		if err := s.volumes.Mount(ctx, m.Name, r.ID); err != nil {
			return err
		}
		defer func() {
			if err := s.volumes.Unmount(m.Name, r.ID); err != nil {
				s.Log.Warn("unmount a volume after it was filled", "volume", m.Name, "error", err)
			}
		}()
		if !isEmpty(m.Source) {
			continue
		}
		if ns == nil {
			var err error
			if ns, err = reach(); err != nil {
				return fmt.Errorf("reach the image's files for volume %s: %w", m.Name, err)
			}
			defer ns.Close()
		}
		if err := archive.Fill(ns, m.Destination, m.Source); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("fill volume %s: %w", m.Name, err)
		}
	}
	return nil
}

func isEmpty(dir string) bool {
	d, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer d.Close()
	_, err = d.Readdirnames(1)
	return err == io.EOF
}

// inImage is whether a layer has something there, or may have it behind a link.
// It spares most containers the way to their files.
func inImage(lowers []string, name string) bool {
	for _, dir := range lowers {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return true
		}
		_, err = root.Lstat(filepath.Join(".", name))
		root.Close()
		if err == nil || !os.IsNotExist(err) {
			return true
		}
	}
	return false
}
