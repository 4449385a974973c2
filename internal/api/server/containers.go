package server

import (
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/engine"
)

func listContainers(e keeper) handler {
	return func(w http.ResponseWriter, r *request) error {
		filters, err := decode.Filters(r.query.Get("filters"))
		if err != nil {
			return err
		}
		limit, err := decode.Int(r.query, "limit")
		if err != nil {
			return err
		}
		o := engine.ListOptions{All: decode.Bool(r.query, "all"), Size: decode.Bool(r.query, "size"), Filters: filters}
		if limit != nil {
			o.Limit = *limit
		}
		found, err := e.List(r.Context(), o)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, list(found))
	}
}

func createContainer(e keeper) handler {
	return func(w http.ResponseWriter, r *request) error {
		q, err := decode.Create(r.Request)
		if err != nil {
			return err
		}
		if q.Config == nil {
			return errdefs.ErrInvalidArgument.WithMessage("config cannot be empty in order to create a container")
		}
		if q.HostConfig == nil {
			q.HostConfig = &container.HostConfig{}
		}
		platform, err := decode.Platform(r.query.Get("platform"))
		if err != nil {
			return err
		}
		id, warnings, err := e.Create(r.Context(), engine.CreateOptions{
			Name: r.query.Get("name"), Config: q.Config, HostConfig: q.HostConfig,
			NetworkingConfig: q.NetworkingConfig, Platform: platform,
		})
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusCreated, container.CreateResponse{ID: id, Warnings: list(warnings)})
	}
}

func inspectContainer(e keeper) handler {
	return func(w http.ResponseWriter, r *request) error {
		c, err := e.Inspect(r.Context(), r.name, decode.Bool(r.query, "size"))
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, c)
	}
}

func renameContainer(e keeper) handler {
	return func(w http.ResponseWriter, r *request) error {
		if err := e.Rename(r.Context(), r.name, r.query.Get("name")); err != nil {
			return err
		}
		return writeNothing(w)
	}
}

func removeContainer(e keeper) handler {
	return func(w http.ResponseWriter, r *request) error {
		err := e.Remove(r.Context(), r.name, engine.RemoveOptions{
			Force: decode.Bool(r.query, "force"), Volumes: decode.Bool(r.query, "v"), Link: decode.Bool(r.query, "link"),
		})
		if err != nil {
			return err
		}
		return writeNothing(w)
	}
}

func startContainer(e starter) handler {
	return func(w http.ResponseWriter, r *request) error {
		if err := e.Start(r.Context(), r.name); err != nil {
			return err
		}
		return writeNothing(w)
	}
}

func stopContainer(e starter) handler {
	return func(w http.ResponseWriter, r *request) error {
		seconds, err := decode.Int(r.query, "t")
		if err != nil {
			return err
		}
		if err := e.Stop(r.Context(), r.name, r.query.Get("signal"), seconds); err != nil {
			return err
		}
		return writeNothing(w)
	}
}

func restartContainer(e starter) handler {
	return func(w http.ResponseWriter, r *request) error {
		seconds, err := decode.Int(r.query, "t")
		if err != nil {
			return err
		}
		if err := e.Restart(r.Context(), r.name, r.query.Get("signal"), seconds); err != nil {
			return err
		}
		return writeNothing(w)
	}
}

func killContainer(e starter) handler {
	return func(w http.ResponseWriter, r *request) error {
		if err := e.Kill(r.Context(), r.name, r.query.Get("signal")); err != nil {
			return err
		}
		return writeNothing(w)
	}
}

func pauseContainer(e lifecycle) handler {
	return func(w http.ResponseWriter, r *request) error {
		if err := e.Pause(r.Context(), r.name); err != nil {
			return err
		}
		return writeNothing(w)
	}
}

func unpauseContainer(e lifecycle) handler {
	return func(w http.ResponseWriter, r *request) error {
		if err := e.Unpause(r.Context(), r.name); err != nil {
			return err
		}
		return writeNothing(w)
	}
}

func topContainer(e observer) handler {
	return func(w http.ResponseWriter, r *request) error {
		top, err := e.Top(r.Context(), r.name, r.query.Get("ps_args"))
		if err != nil {
			return err
		}
		top.Processes, top.Titles = list(top.Processes), list(top.Titles)
		return writeJSON(w, r, http.StatusOK, top)
	}
}

func resizeContainer(e observer) handler {
	return func(_ http.ResponseWriter, r *request) error {
		width, height, err := terminalSize(r)
		if err != nil {
			return err
		}
		return e.Resize(r.Context(), r.name, width, height)
	}
}

func terminalSize(r *request) (width, height uint16, err error) {
	if height, err = decode.Size(r.query, "h"); err != nil {
		return 0, 0, err
	}
	width, err = decode.Size(r.query, "w")
	return width, height, err
}
