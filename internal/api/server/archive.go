package server

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/engine"
)

// pathOf is the parameter path.
func pathOf(r *request) (string, error) {
	name := r.query.Get("path")
	if name == "" {
		return "", errdefs.ErrInvalidArgument.WithMessage("bad parameter: 'path' cannot be empty")
	}
	return name, nil
}

// tellStat puts what is at a path into the header that clients read it from.
func tellStat(w http.ResponseWriter, s container.PathStat) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	w.Header().Set("X-Docker-Container-Path-Stat", base64.StdEncoding.EncodeToString(text))
	return nil
}

func statPath(e files) handler {
	return func(w http.ResponseWriter, r *request) error {
		name, err := pathOf(r)
		if err != nil {
			return err
		}
		s, err := e.StatPath(r.Context(), r.name, name)
		if err != nil {
			return err
		}
		return tellStat(w, s)
	}
}

func getArchive(e files) handler {
	return func(w http.ResponseWriter, r *request) error {
		name, err := pathOf(r)
		if err != nil {
			return err
		}
		return e.Archive(r.Context(), r.name, name, func(s container.PathStat) (io.Writer, error) {
			w.Header().Set("Content-Type", "application/x-tar")
			return onlyWriter{w}, tellStat(w, s)
		})
	}
}

func putArchive(e files) handler {
	return func(_ http.ResponseWriter, r *request) error {
		name, err := pathOf(r)
		if err != nil {
			return err
		}
		return e.Extract(r.Context(), r.name, name, r.Body, engine.ExtractOptions{
			KeepKinds: decode.Bool(r.query, "noOverwriteDirNonDir"), OwnUser: decode.Bool(r.query, "copyUIDGID"),
		})
	}
}

func exportContainer(e layers) handler {
	return func(w http.ResponseWriter, r *request) error {
		return e.Export(r.Context(), r.name, func() (io.Writer, error) {
			w.Header().Set("Content-Type", "application/octet-stream")
			return onlyWriter{w}, nil
		})
	}
}

func containerChanges(e layers) handler {
	return func(w http.ResponseWriter, r *request) error {
		changes, err := e.Changes(r.Context(), r.name)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, changes)
	}
}

func commitContainer(e layers) handler {
	return func(w http.ResponseWriter, r *request) error {
		var config *container.Config
		// Old clients send nothing, and new ones "null".
		if err := json.NewDecoder(r.Body).Decode(&config); err != nil && err != io.EOF {
			return errdefs.ErrInvalidArgument.WithMessage("the configuration of the image: " + err.Error())
		}
		ref := ""
		if repo := r.query.Get("repo"); repo != "" {
			ref = joinTag(repo, r.query.Get("tag"))
		}
		id, err := e.Commit(r.Context(), r.query.Get("container"), engine.CommitOptions{
			Ref: ref, Author: r.query.Get("author"), Comment: r.query.Get("comment"), Config: config,
			Changes: r.query["changes"], Pause: decode.BoolOr(r.query, "pause", true),
		})
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusCreated, container.CommitResponse{ID: id})
	}
}
