package server

import (
	"context"
	"net/http"

	"github.com/moby/moby/api/types/events"
	api "github.com/moby/moby/api/types/image"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/api/imageview"
	"github.com/berth-containers/berth/internal/engine"
	"github.com/berth-containers/berth/internal/filters"
	"github.com/berth-containers/berth/internal/image"
)

func listImages(images imageReader, e usage) handler {
	return func(w http.ResponseWriter, r *request) error {
		f, err := decode.Filters(r.query.Get("filters"))
		if err != nil {
			return err
		}
		if err := filters.Only(f, imageview.FilterNames...); err != nil {
			return err
		}
		if old := r.query.Get("filter"); old != "" { // before API 1.41
			f["reference"] = map[string]bool{old: true}
		}
		all, err := images.List(r.Context())
		if err != nil {
			return err
		}
		matching, err := imageview.Filter(all, f, func(ref string) (image.Image, error) { return images.Get(r.Context(), ref) })
		if err != nil {
			return err
		}
		uses, err := countUses(r.Context(), e)
		if err != nil {
			return err
		}
		summaries := make([]api.Summary, 0, len(matching))
		for _, img := range matching {
			summaries = append(summaries, imageview.Summary(img, uses[img.ID.String()]))
		}
		return writeJSON(w, r, http.StatusOK, summaries)
	}
}

// countUses counts the containers of each image.
func countUses(ctx context.Context, e usage) (map[string]int64, error) {
	containers, err := e.List(ctx, engine.ListOptions{All: true})
	if err != nil {
		return nil, err
	}
	uses := map[string]int64{}
	for _, c := range containers {
		uses[c.ImageID]++
	}
	return uses, nil
}

func inspectImage(images imageReader) handler {
	return func(w http.ResponseWriter, r *request) error {
		img, err := imageFor(images, r, r.query.Get("platform"))
		if err != nil {
			return err
		}
		i, err := imageview.Inspect(img)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, i)
	}
}

// imageFor is the image that is asked for, if it is for the platform; "" is any.
func imageFor(images imageReader, r *request, platform string) (image.Image, error) {
	platform, err := decode.Platform(platform)
	if err != nil {
		return image.Image{}, err
	}
	img, err := images.Get(r.Context(), r.name)
	if err != nil {
		return img, err
	}
	return img, img.For(platform)
}

func imageHistory(images imageReader) handler {
	return func(w http.ResponseWriter, r *request) error {
		img, err := imageFor(images, r, r.query.Get("platform"))
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, imageview.History(img))
	}
}

func tagImage(images imageReader, e announcer) handler {
	return func(w http.ResponseWriter, r *request) error {
		target := joinTag(r.query.Get("repo"), r.query.Get("tag"))
		if err := images.Tag(r.Context(), r.name, target); err != nil {
			return err
		}
		if img, err := images.Get(r.Context(), target); err == nil {
			e.ImageEvent(events.ActionTag, img.ID.String(), familiar(target))
		}
		w.WriteHeader(http.StatusCreated)
		return nil
	}
}

// removeImage does not ask for noprune: an image has no untagged parents here.
// An image is of one platform; if others are named it is not the one that is meant.
func removeImage(images imageReader, e announcer) handler {
	return func(w http.ResponseWriter, r *request) error {
		for _, platform := range r.query["platforms"] {
			if _, err := imageFor(images, r, platform); err != nil {
				return err
			}
		}
		removed, err := e.RemoveImage(r.Context(), r.name, decode.Bool(r.query, "force"))
		if err != nil {
			return err
		}
		lines := make([]api.DeleteResponse, 0, len(removed))
		for _, x := range removed {
			lines = append(lines, api.DeleteResponse{Untagged: x.Untagged, Deleted: x.Deleted})
		}
		return writeJSON(w, r, http.StatusOK, lines)
	}
}
