package server

import (
	"encoding/json"
	"net/http"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/engine"
)

func containerStats(e meter) handler {
	return func(w http.ResponseWriter, r *request) error {
		follow := decode.BoolOr(r.query, "stream", true)
		out, lines := http.NewResponseController(w), json.NewEncoder(w)
		err := e.Stats(r.Context(), r.name, follow, decode.Bool(r.query, "one-shot"), func(s container.StatsResponse) error {
			w.Header().Set("Content-Type", "application/json")
			if err := lines.Encode(s); err != nil {
				return err
			}
			return out.Flush()
		})
		return ignoreGone(r.Context(), err)
	}
}

func updateContainer(e meter) handler {
	return func(w http.ResponseWriter, r *request) error {
		var u engine.UpdateOptions
		if err := decode.JSON(r.Request, &u); err != nil {
			return err
		}
		warnings, err := e.Update(r.Context(), r.name, u)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, container.UpdateResponse{Warnings: list(warnings)})
	}
}
