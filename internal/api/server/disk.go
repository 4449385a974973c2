package server

import (
	"context"
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	api "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/api/imageview"
	"github.com/berth-containers/berth/internal/engine"
)

// legacyUsage is the answer before API 1.52.
type legacyUsage struct {
	LayersSize int64
	Images     []api.Summary
	Containers []container.Summary
	Volumes    []volume.Volume
	BuildCache []build.CacheRecord
}

// diskUsage answers what "system df" shows.
func diskUsage(e usage, images imageReader, b Builder) handler {
	return func(w http.ResponseWriter, r *request) error {
		u, err := readUsage(r, e, images, b)
		if err != nil {
			return err
		}
		if r.version.Before("1.52") {
			return writeJSON(w, r, http.StatusOK, u)
		}
		return writeJSON(w, r, http.StatusOK, u.modern(decode.Bool(r.query, "verbose")))
	}
}

func readUsage(r *request, e usage, images imageReader, b Builder) (*legacyUsage, error) {
	want := map[system.DiskUsageObject]bool{}
	for _, kind := range r.query["type"] {
		want[system.DiskUsageObject(kind)] = true
		switch system.DiskUsageObject(kind) {
		case system.ContainerObject, system.ImageObject, system.VolumeObject, system.BuildCacheObject:
		default:
			return nil, errdefs.ErrInvalidArgument.WithMessage("unknown object type: " + kind)
		}
	}
	all := len(want) == 0
	u := &legacyUsage{}
	var cache []build.CacheRecord
	var err error
	if all || want[system.ImageObject] || want[system.BuildCacheObject] {
		if cache, err = b.DiskUsage(r.Context()); err != nil {
			return nil, err
		}
	}
	if all || want[system.ImageObject] {
		if err = u.readImages(r.Context(), e, images); err != nil {
			return nil, err
		}
		// What only builds need is in the same store.
		u.LayersSize = max(0, u.LayersSize-cacheBytes(cache))
	}
	if all || want[system.ContainerObject] {
		if u.Containers, err = e.List(r.Context(), engine.ListOptions{All: true, Size: true}); err != nil {
			return nil, err
		}
		u.Containers = list(u.Containers)
	}
	if all || want[system.VolumeObject] {
		if u.Volumes, err = e.VolumeUsage(r.Context()); err != nil {
			return nil, err
		}
	}
	if all || want[system.BuildCacheObject] {
		u.BuildCache = list(cache)
	}
	return u, nil
}

// cacheBytes is what the cache takes besides what it shares with images.
func cacheBytes(cache []build.CacheRecord) (bytes int64) {
	for _, c := range cache {
		if !c.Shared {
			bytes += c.Size
		}
	}
	return bytes
}

func (u *legacyUsage) readImages(ctx context.Context, e usage, images imageReader) error {
	all, err := images.List(ctx)
	if err != nil {
		return err
	}
	uses, err := countUses(ctx, e)
	if err != nil {
		return err
	}
	shares := imageview.Share(all)
	u.Images = []api.Summary{}
	for _, img := range all {
		if img.Host {
			continue // it takes no space
		}
		s := imageview.Summary(img, uses[img.ID.String()])
		s.SharedSize = shares.Of(img)
		u.Images = append(u.Images, s)
	}
	u.LayersSize, err = images.DiskUsage(ctx)
	return err
}

// modern is the answer since API 1.52: sums, and the things themselves if asked for.
func (u *legacyUsage) modern(verbose bool) system.DiskUsage {
	d := system.DiskUsage{ImageUsage: u.imageUsage(), ContainerUsage: u.containerUsage(), VolumeUsage: u.volumeUsage()}
	if u.BuildCache != nil {
		d.BuildCacheUsage = u.cacheUsage()
	}
	if !verbose {
		return d
	}
	if d.ImageUsage != nil {
		d.ImageUsage.Items = u.Images
	}
	if d.ContainerUsage != nil {
		d.ContainerUsage.Items = u.Containers
	}
	if d.VolumeUsage != nil {
		d.VolumeUsage.Items = u.Volumes
	}
	if d.BuildCacheUsage != nil {
		d.BuildCacheUsage.Items = u.BuildCache
	}
	return d
}

func (u *legacyUsage) cacheUsage() *build.DiskUsage {
	d := &build.DiskUsage{TotalCount: int64(len(u.BuildCache)), TotalSize: cacheBytes(u.BuildCache)}
	for _, c := range u.BuildCache {
		if c.InUse {
			d.ActiveCount++
		} else if !c.Shared {
			d.Reclaimable += c.Size
		}
	}
	return d
}

func (u *legacyUsage) imageUsage() *api.DiskUsage {
	if u.Images == nil {
		return nil
	}
	d := &api.DiskUsage{TotalCount: int64(len(u.Images)), TotalSize: u.LayersSize, Reclaimable: u.LayersSize}
	for _, i := range u.Images {
		if i.Containers > 0 {
			d.ActiveCount++
			d.Reclaimable = max(0, d.Reclaimable-(i.Size-i.SharedSize))
		}
	}
	return d
}

func (u *legacyUsage) containerUsage() *container.DiskUsage {
	if u.Containers == nil {
		return nil
	}
	d := &container.DiskUsage{TotalCount: int64(len(u.Containers))}
	for _, c := range u.Containers {
		d.TotalSize += c.SizeRw
		switch c.State {
		case container.StateRunning, container.StatePaused, container.StateRestarting:
			d.ActiveCount++
		default:
			d.Reclaimable += c.SizeRw
		}
	}
	return d
}

func (u *legacyUsage) volumeUsage() *volume.DiskUsage {
	if u.Volumes == nil {
		return nil
	}
	d := &volume.DiskUsage{TotalCount: int64(len(u.Volumes))}
	for _, v := range u.Volumes {
		d.TotalSize += v.UsageData.Size
		if v.UsageData.RefCount > 0 {
			d.ActiveCount++
		} else {
			d.Reclaimable += v.UsageData.Size
		}
	}
	return d
}
