package engine

import (
	"context"

	mobyvol "github.com/moby/moby/api/types/volume"

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

// VolumeUsage is every volume with its size and the number of its users.
func (q queries) VolumeUsage(ctx context.Context) ([]mobyvol.Volume, error) {
	list := []mobyvol.Volume{}
	for _, v := range q.volumes.List() {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		shown := showVolume(v)
		shown.UsageData = &mobyvol.UsageData{RefCount: int64(len(q.volumes.Users(v.Name))), Size: host.DiskUsage(v.Path)}
		list = append(list, shown)
	}
	return list, nil
}
