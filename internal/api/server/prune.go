package server

import (
	"context"
	"net/http"

	api "github.com/moby/moby/api/types/image"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/api/imageview"
	"github.com/berth-containers/berth/internal/filters"
	"github.com/berth-containers/berth/internal/image"
)

// prunes answers with what a removal of unused things reports.
func prunes(prune func(r *request, f filters.Filters) (any, error)) handler {
	return func(w http.ResponseWriter, r *request) error {
		f, err := decode.Filters(r.query.Get("filters"))
		if err != nil {
			return err
		}
		report, err := prune(r, f)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, report)
	}
}

func pruneContainers(e pruner) handler {
	return prunes(func(r *request, f filters.Filters) (any, error) { return e.PruneContainers(r.Context(), f) })
}

func pruneNetworks(e pruner) handler {
	return prunes(func(r *request, f filters.Filters) (any, error) { return e.PruneNetworks(r.Context(), f) })
}

// pruneVolumes leaves out volumes with a name since API 1.42, unless the filter
// "all" asks for them.
func pruneVolumes(e pruner) handler {
	return prunes(func(r *request, f filters.Filters) (any, error) {
		all, err := decode.FilterBool(f, "all", r.version.Before("1.42"))
		if err != nil {
			return nil, err
		}
		delete(f, "all")
		return e.PruneVolumes(r.Context(), f, all)
	})
}

// pruneImages removes dangling images, and with dangling=false every unused one.
func pruneImages(e pruner, images imageReader) handler {
	return prunes(func(r *request, f filters.Filters) (any, error) {
		if err := filters.Only(f, "dangling", "label", "label!", "until"); err != nil {
			return nil, err
		}
		dangling, err := decode.FilterBool(f, "dangling", true)
		if err != nil {
			return nil, err
		}
		delete(f, "dangling")
		if dangling {
			f["dangling"] = map[string]bool{"true": true}
		}
		return removeUnused(r.Context(), e, images, f)
	})
}

func removeUnused(ctx context.Context, e pruner, images imageReader, f filters.Filters) (api.PruneReport, error) {
	report := api.PruneReport{ImagesDeleted: []api.DeleteResponse{}}
	before, err := images.List(ctx)
	if err != nil {
		return report, err
	}
	candidates, err := imageview.Filter(before, f, nil)
	if err != nil {
		return report, err
	}
	removed, err := e.PruneImages(ctx, candidates)
	if err != nil {
		return report, err
	}
	deleted := map[string]bool{}
	for _, x := range removed {
		report.ImagesDeleted = append(report.ImagesDeleted, api.DeleteResponse{Untagged: x.Untagged, Deleted: x.Deleted})
		deleted[x.Deleted] = true
	}
	var gone, left []image.Image
	for _, img := range before {
		if deleted[img.ID.String()] {
			gone = append(gone, img)
		} else {
			left = append(left, img)
		}
	}
	report.SpaceReclaimed = uint64(imageview.Freed(gone, left))
	e.ImagesPruned(report.SpaceReclaimed)
	return report, nil
}
