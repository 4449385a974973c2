package engine

import (
	"context"
	"io/fs"
	"path/filepath"
	"syscall"

	mobyvol "github.com/moby/moby/api/types/volume"

	"github.com/berth-containers/berth/internal/container"
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
	return diskUsage(rootfs.Upper)
}

// VolumeUsage is every volume with its size and the number of its users.
func (q queries) VolumeUsage(ctx context.Context) ([]mobyvol.Volume, error) {
	list := []mobyvol.Volume{}
	for _, v := range q.volumes.List() {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		shown := showVolume(v)
		shown.UsageData = &mobyvol.UsageData{RefCount: int64(len(q.volumes.Users(v.Name))), Size: diskUsage(v.Path)}
		list = append(list, shown)
	}
	return list, nil
}

// diskUsage is the space that the files below dir take on the disk, each inode
// once, as du shows it.
func diskUsage(dir string) int64 {
	var sum int64
	seen := map[uint64]bool{}
	// What vanishes while it is counted does not count.
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok || s.Nlink > 1 && !d.IsDir() && seen[s.Ino] {
			return nil
		}
		seen[s.Ino] = true
		sum += s.Blocks * 512
		return nil
	})
	return sum
}
