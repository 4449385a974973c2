package server

import (
	"net/http"

	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/api/stream"
	"github.com/berth-containers/berth/internal/image/report"
)

// ownImageRoutes are the verbs of images that Docker's API has not.
func ownImageRoutes(e Engine, i Images) []Route {
	return []Route{
		{"GET", "/berth/images/{name}/layers", "BerthImageLayers", imageLayers(i), false},
		{"GET", "/berth/images/{name}/raw", "BerthImageRaw", imageRaw(i), false},
		{"GET", "/berth/images/{name}/blobs", "BerthImageBlobs", imageBlobs(i), false},
		{"POST", "/berth/images/{name}/part", "BerthImagePart", imagePart(i), true},
		{"POST", "/berth/images/{name}/flatten", "BerthImageFlatten", flattenImage(i, e), true},
		{"POST", "/berth/images/{name}/mount", "BerthImageMount", mountImage(i), false},
		{"GET", "/berth/images/mounts", "BerthImageMounts", imageMounts(i), false},
		{"DELETE", "/berth/images/mounts", "BerthImageUnmount", unmountImage(i), false},
		{"GET", "/berth/images/diff", "BerthImageDiff", diffImages(i), true},
		{"GET", "/berth/images/verify", "BerthImageVerify", verifyImages(i), true},
		{"POST", "/berth/images/missing", "BerthImageMissing", missingBlobs(i), false},
		{"POST", "/berth/images/copy", "BerthImageCopy", copyImage(i, e), true},
	}
}

func imageLayers(images imageExaminer) handler {
	return func(w http.ResponseWriter, r *request) error {
		tree, err := images.Layers(r.Context(), r.name)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, tree)
	}
}

// imageRaw answers with the bytes themselves.
func imageRaw(images imageExaminer) handler {
	return func(w http.ResponseWriter, r *request) error {
		mediaType, b, err := images.Raw(r.Context(), r.name, r.query.Get("of"))
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", mediaType)
		_, err = w.Write(b)
		return err
	}
}

// lines sends what a verb tells, one JSON value a line. An error before the
// first has a status of its own.
func lines[T any](w http.ResponseWriter, verb func(tell func(T) error) error) error {
	out := stream.NewLines(w)
	err := verb(func(v T) error { return out.Send(v) })
	switch {
	case err == nil:
		return out.Start("application/json")
	case !out.Started():
		return err
	}
	out.Fail(statusOf(err), err)
	return nil
}

func diffImages(images imageExaminer) handler {
	return func(w http.ResponseWriter, r *request) error {
		return lines(w, func(tell func(report.Difference) error) error {
			return images.Diff(r.Context(), r.query.Get("from"), r.query.Get("to"), tell)
		})
	}
}

func verifyImages(images imageVerifier) handler {
	return func(w http.ResponseWriter, r *request) error {
		return lines(w, func(tell func(report.Verified) error) error {
			return images.Verify(r.Context(), r.query["names"], tell)
		})
	}
}

func flattenImage(images Images, e announcer) handler {
	return func(w http.ResponseWriter, r *request) error {
		f, err := images.Flatten(r.Context(), r.name, r.query.Get("name"))
		if err != nil {
			return err
		}
		if f.Name != "" {
			e.ImageEvent(events.ActionTag, f.ID, f.Name)
		}
		return writeJSON(w, r, http.StatusCreated, f)
	}
}

func mountImage(images imageViews) handler {
	return func(w http.ResponseWriter, r *request) error {
		m, err := images.Mount(r.Context(), r.name, r.query.Get("dir"))
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusCreated, m)
	}
}

func imageMounts(images imageViews) handler {
	return func(w http.ResponseWriter, r *request) error {
		list, err := images.Mounts(r.Context())
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, list)
	}
}

func unmountImage(images imageViews) handler {
	return func(w http.ResponseWriter, r *request) error {
		m, err := images.Unmount(r.Context(), r.query.Get("which"), decode.Bool(r.query, "force"))
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, m)
	}
}
