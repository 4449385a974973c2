package image

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
)

// blockBytes is what files take in multiples of.
const blockBytes = 4096

// DiskUsage is the space that the images take on the disk, packed and unpacked,
// each blob and layer once.
func (s *Store) DiskUsage(ctx context.Context) (int64, error) {
	ctx = s.depot.Scope(ctx)
	var sum int64
	err := s.depot.Blobs.Walk(ctx, func(i content.Info) error {
		sum += (i.Size + blockBytes - 1) / blockBytes * blockBytes
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("measure blobs: %w", err)
	}
	err = s.depot.Layers.Walk(ctx, func(ctx context.Context, i snapshots.Info) error {
		usage, err := s.depot.Layers.Usage(ctx, i.Name)
		sum += usage.Size
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure layers: %w", err)
	}
	return sum, nil
}
