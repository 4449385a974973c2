package server

import (
	"net/http"

	"github.com/moby/moby/api/types/volume"

	"github.com/berth-containers/berth/internal/api/decode"
)

func listVolumes(e volumes) handler {
	return func(w http.ResponseWriter, r *request) error {
		filters, err := decode.Filters(r.query.Get("filters"))
		if err != nil {
			return err
		}
		found, err := e.VolumeList(r.Context(), filters)
		if err != nil {
			return err
		}
		found.Volumes, found.Warnings = list(found.Volumes), list(found.Warnings)
		return writeJSON(w, r, http.StatusOK, found)
	}
}

func createVolume(e volumes) handler {
	return func(w http.ResponseWriter, r *request) error {
		var q volume.CreateRequest
		if err := decode.JSON(r.Request, &q); err != nil {
			return err
		}
		v, err := e.VolumeCreate(r.Context(), q)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusCreated, v)
	}
}

func inspectVolume(e volumes) handler {
	return func(w http.ResponseWriter, r *request) error {
		v, err := e.VolumeInspect(r.Context(), r.name)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, v)
	}
}

func removeVolume(e volumes) handler {
	return func(w http.ResponseWriter, r *request) error {
		if err := e.VolumeRemove(r.Context(), r.name, decode.Bool(r.query, "force")); err != nil {
			return err
		}
		return writeNothing(w)
	}
}
