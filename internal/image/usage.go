package image

import (
	"context"
	"fmt"

	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/go-digest"
)

// blockBytes is what files take in multiples of.
const blockBytes = 4096

// DiskUsage is the space that the images take on the disk, packed and unpacked,
// each blob and layer once.
func (s *Store) DiskUsage(ctx context.Context) (int64, error) {
	ctx = s.depot.Scope(ctx)
	blobs, layers := map[digest.Digest]int64{}, map[string]int64{}
	for _, ctx := range s.depot.Scopes(ctx) {
		err := s.depot.Blobs.Walk(ctx, func(i content.Info) error {
			blobs[i.Digest] = (i.Size + blockBytes - 1) / blockBytes * blockBytes
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("measure blobs: %w", err)
		}
	}
	err := s.depot.Layers.Walk(ctx, func(ctx context.Context, i snapshots.Info) error {
		usage, err := s.depot.Layers.Usage(ctx, i.Name)
		layers[depot.LayerDir(i)] = usage.Size // it may have several names
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure layers: %w", err)
	}
	var sum int64
	for _, bytes := range blobs {
		sum += bytes
	}
	for _, bytes := range layers {
		sum += bytes
	}
	return sum, nil
}
