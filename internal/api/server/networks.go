package server

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/api/decode"
)

func networkRoutes(e Engine) []Route {
	return []Route{
		{"GET", "/networks", "NetworkList", listNetworks(e), false},
		{"POST", "/networks/create", "NetworkCreate", createNetwork(e), false},
		{"GET", "/networks/{id}", "NetworkInspect", inspectNetwork(e), false},
		{"DELETE", "/networks/{id}", "NetworkDelete", removeNetwork(e), false},
		{"POST", "/networks/{id}/connect", "NetworkConnect", connectNetwork(e), false},
		{"POST", "/networks/{id}/disconnect", "NetworkDisconnect", disconnectNetwork(e), false},
		{"POST", "/networks/prune", "NetworkPrune", pruneNetworks(e), false},
	}
}

func listNetworks(e networks) handler {
	return func(w http.ResponseWriter, r *request) error {
		filters, err := decode.Filters(r.query.Get("filters"))
		if err != nil {
			return err
		}
		found, err := e.NetworkList(r.Context(), filters)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusOK, list(found))
	}
}

func inspectNetwork(e networks) handler {
	return func(w http.ResponseWriter, r *request) error {
		if v := r.query.Get("verbose"); v != "" {
			// A network of one host has no services to tell of.
			if _, err := strconv.ParseBool(v); err != nil {
				return errdefs.ErrInvalidArgument.WithMessage("invalid value for verbose: " + v)
			}
		}
		n, err := e.NetworkInspect(r.Context(), r.name)
		if err != nil {
			return err
		}
		if s := r.query.Get("scope"); s != "" && s != n.Scope {
			return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", r.name))
		}
		return writeJSON(w, r, http.StatusOK, n)
	}
}

// createRequest has a field of older clients: names are never given twice,
// whatever it says.
type createRequest struct {
	network.CreateRequest
	CheckDuplicate bool
}

func createNetwork(e networks) handler {
	return func(w http.ResponseWriter, r *request) error {
		var q createRequest
		if err := decode.JSON(r.Request, &q); err != nil {
			return err
		}
		if r.version.Before("1.48") {
			q.EnableIPv4 = nil
		}
		id, err := e.NetworkCreate(r.Context(), q.CreateRequest)
		if err != nil {
			return err
		}
		return writeJSON(w, r, http.StatusCreated, network.CreateResponse{ID: id})
	}
}

func removeNetwork(e networks) handler {
	return func(w http.ResponseWriter, r *request) error {
		if err := e.NetworkRemove(r.Context(), r.name); err != nil {
			return err
		}
		return writeNothing(w)
	}
}

func connectNetwork(e connector) handler {
	return func(w http.ResponseWriter, r *request) error {
		var q network.ConnectRequest
		if err := decode.JSON(r.Request, &q); err != nil {
			return err
		}
		if r.version.Before("1.54") && q.EndpointConfig != nil {
			q.EndpointConfig.MacAddress = nil // clients sent back what they had read
		}
		if err := e.NetworkConnect(r.Context(), r.name, q); err != nil {
			return err
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
}

func disconnectNetwork(e connector) handler {
	return func(w http.ResponseWriter, r *request) error {
		var q network.DisconnectRequest
		if err := decode.JSON(r.Request, &q); err != nil {
			return err
		}
		if err := e.NetworkDisconnect(r.Context(), r.name, q); err != nil {
			return err
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
}
