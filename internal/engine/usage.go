package engine

import (
	"context"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/host"
	"github.com/berth-containers/berth/internal/engine/show"
)

// size adds what the container wrote, and that plus its image.
func (q queries) size(ctx context.Context, r *container.Record, f *show.Facts) {
	written := written(ctx, q.deps.Rootfs, r)
	total := written
	if img, err := q.deps.Images.Get(ctx, r.ImageID.String()); err == nil {
		total += img.Bytes
	}
	f.SizeRw, f.SizeRootFs = &written, &total
}

// written is the space of a container's own layer; 0 if it has none.
func written(ctx context.Context, of Rootfs, r *container.Record) int64 {
	rootfs, err := of.Rootfs(ctx, r.ID)
	if err != nil {
		return 0
	}
	return host.DiskUsage(rootfs.Upper)
}
