package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/sys/mount"
)

// Shm is the place of the memory that containers with a common IPC namespace
// see as /dev/shm.
func (s *Store) Shm(id string) string { return filepath.Join(s.ShmRoot, id) }

// makeShm mounts it: a tmpfs of the container's own could not be seen by
// another one.
func (s *Store) makeShm(r *container.Record) error {
	dir := s.Shm(r.ID)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return fmt.Errorf("make the shared memory: %w", err)
	}
	if there, err := mount.IsPoint(dir); err != nil || there {
		return err
	}
	if err := mount.Classic("shm", dir, "tmpfs", fmt.Sprintf("nosuid,nodev,noexec,mode=1777,size=%d", r.HostConfig.ShmSize)); err != nil {
		return fmt.Errorf("make the shared memory: %w", err)
	}
	return nil
}

// dropShm unmounts it; who has it mounted keeps it. The place goes with the
// container.
func (s *Store) dropShm(id string, place bool) error {
	dir := s.Shm(id)
	there, err := mount.IsPoint(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && there {
		err = mount.Unmount(dir, true)
	}
	if err == nil && place {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return fmt.Errorf("take shared memory away: %w", err)
	}
	return nil
}
