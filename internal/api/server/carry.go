package server

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/api/stream"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/image/report"
)

// sourceAuth has the credentials of the registry that is copied from;
// X-Registry-Auth those of the one that is copied to.
const sourceAuth = "X-Berth-Source-Auth"

func imageBlobs(images imageCarrier) handler {
	return func(w http.ResponseWriter, r *request) error {
		blobs, err := images.Blobs(r.Context(), r.name)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, blobs)
	}
}

func missingBlobs(images imageCarrier) handler {
	return func(w http.ResponseWriter, r *request) error {
		var blobs []report.Blob
		if err := decode.JSON(r.Request, &blobs); err != nil {
			return err
		}
		missing, err := images.Missing(r.Context(), blobs)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, missing)
	}
}

// imagePart is a saved image with only those blobs that are asked for.
func imagePart(images Images) handler {
	return func(w http.ResponseWriter, r *request) error {
		var blobs []report.Blob
		if err := decode.JSON(r.Request, &blobs); err != nil {
			return err
		}
		if _, err := images.Get(r.Context(), r.name); err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/x-tar")
		return images.Part(r.Context(), r.name, blobs, onlyWriter{w})
	}
}

// copyImage copies between registries, the store and archives. An archive that
// is the source is the body; one that is made is the answer.
func copyImage(images Images, e announcer) handler {
	return func(w http.ResponseWriter, r *request) error {
		from, to, err := places(r)
		if err != nil {
			return err
		}
		platform, err := decode.Platform(r.query.Get("platform"))
		if err != nil {
			return err
		}
		from.Reader = r.Body
		if to.Kind == image.InArchive {
			to.Writer = func() io.Writer {
				w.Header().Set("Content-Type", "application/x-tar")
				return onlyWriter{w}
			}
			_, err := images.Copy(r.Context(), from, to, platform, nil)
			return err
		}
		p := &progress{lines: stream.NewLines(w)}
		digest, err := images.Copy(r.Context(), from, to, platform, p.tell)
		if err != nil {
			return p.end(err)
		}
		aux, err := json.Marshal(map[string]string{"Digest": digest.String()})
		if err != nil {
			return p.end(err)
		}
		p.send(jsonstream.Message{Aux: (*json.RawMessage)(&aux)})
		if img, err := images.Get(r.Context(), to.Ref); err == nil && to.Kind == image.InStore {
			e.ImageEvent(events.ActionTag, img.ID.String(), familiar(to.Ref))
		}
		return p.end(nil)
	}
}

func places(r *request) (from, to image.Place, err error) {
	if from.Credentials, err = credentialsOf(r, sourceAuth); err != nil {
		return from, to, err
	}
	if to.Credentials, err = credentials(r); err != nil {
		return from, to, err
	}
	for _, p := range []struct {
		place *image.Place
		name  string
	}{{&from, "from"}, {&to, "to"}} {
		p.place.Kind, p.place.Ref = r.query.Get(p.name), r.query.Get(p.name+"Ref")
		switch p.place.Kind {
		case image.InRegistry, image.InStore, image.InArchive:
		default:
			return from, to, errdefs.ErrInvalidArgument.WithMessage("parameter " + p.name + ": it is registry, store or archive")
		}
	}
	return from, to, nil
}
