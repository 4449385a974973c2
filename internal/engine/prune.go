package engine

import (
	"context"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/filters"
	"github.com/berth-containers/berth/internal/image"
)

// pruning removes what nobody uses. What comes into use, or is removed by
// somebody else, meanwhile is left out.
type pruning struct{ *core }

// PruneContainers removes the containers that do not run; filters until, label
// and label!.
func (p pruning) PruneContainers(ctx context.Context, f Filters) (api.PruneReport, error) {
	report := api.PruneReport{ContainersDeleted: []string{}}
	if err := filters.Only(f, "until", "label", "label!"); err != nil {
		return report, err
	}
	until, err := filters.Until(f, time.Now())
	if err != nil {
		return report, err
	}
	for _, r := range p.records.All() {
		idle := r.State.Status == container.Created || r.State.Status == container.Exited || r.State.Status == container.Dead
		if !idle || !r.Created.Before(until) || !filters.Labels(r.Config.Labels, f) {
			continue
		}
		size := written(ctx, p.deps.Rootfs, r)
		err := verbs(p).Remove(ctx, r.ID, RemoveOptions{})
		if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
			continue
		}
		if err != nil {
			return report, err
		}
		report.ContainersDeleted = append(report.ContainersDeleted, r.ID)
		report.SpaceReclaimed += uint64(size)
	}
	p.tellPrune(events.ContainerEventType, report.SpaceReclaimed)
	return report, nil
}

// PruneImages removes the names and the images among candidates that no container uses.
func (p pruning) PruneImages(ctx context.Context, candidates []image.Image) ([]image.Removed, error) {
	var all []image.Removed
	for _, img := range candidates {
		refs := img.Tags
		if len(refs) == 0 {
			refs = []string{img.ID.String()}
		}
		for _, ref := range refs {
			removed, err := objects{core: p.core}.RemoveImage(ctx, ref, false)
			if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
				continue
			}
			if err != nil {
				return all, err
			}
			all = append(all, removed...)
		}
	}
	return all, nil
}

// ReclaimImage removes an image that no container uses because the disk fills,
// and tells so as a prune does.
func (p pruning) ReclaimImage(ctx context.Context, unused image.Image) ([]image.Removed, error) {
	removed, err := p.PruneImages(ctx, []image.Image{unused})
	if slices.ContainsFunc(removed, func(r image.Removed) bool { return r.Deleted != "" }) {
		p.ImagesPruned(uint64(unused.Bytes))
	}
	return removed, err
}

// ImagesPruned tells what PruneImages reclaimed.
func (p pruning) ImagesPruned(reclaimed uint64) { p.tellPrune(events.ImageEventType, reclaimed) }
