package server

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/registry"

	"github.com/berth-containers/berth/internal/api/decode"
	"github.com/berth-containers/berth/internal/filters"
)

func imageAttestations(images Images) handler {
	return func(w http.ResponseWriter, r *request) error {
		platform, err := onePlatform(r)
		if err != nil {
			return err
		}
		if _, err := imageFor(images, r, platform); err != nil {
			return err
		}
		found, err := images.Attestations(r.Context(), r.name, r.query["type"], decode.Bool(r.query, "statement"))
		if err != nil {
			return err
		}
		if found == nil {
			found = []api.AttestationStatement{}
		}
		return writeJSON(w, r, http.StatusOK, found)
	}
}

const (
	defaultSearch = 25
	mostSearch    = 100
)

func searchImages(images registries) handler {
	return func(w http.ResponseWriter, r *request) error {
		limit, err := decode.Int(r.query, "limit")
		if err != nil {
			return err
		}
		most := defaultSearch
		if limit != nil && *limit != 0 {
			most = *limit
		}
		if most < 1 || most > mostSearch {
			return errdefs.ErrInvalidArgument.WithMessage("limit " + strconv.Itoa(most) + " is outside the range of [1, " + strconv.Itoa(mostSearch) + "]")
		}
		keep, err := searchFilter(r.query.Get("filters"))
		if err != nil {
			return err
		}
		creds, _ := credentials(r) // as Docker: whoever cannot be read is anybody, who may search
		server, term := splitTerm(r.query.Get("term"))
		found, err := images.Search(r.Context(), server, term, most, creds)
		if err != nil {
			return err
		}
		kept := []registry.SearchResult{}
		for _, f := range found {
			if keep(f) {
				kept = append(kept, f)
			}
		}
		return writeJSON(w, r, http.StatusOK, kept)
	}
}

// splitTerm cuts off the registry, which looks like a host.
func splitTerm(term string) (server, rest string) {
	host, rest, ok := strings.Cut(term, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return "docker.io", strings.TrimPrefix(term, "library/")
	}
	return host, rest
}

func searchFilter(text string) (func(registry.SearchResult) bool, error) {
	f, err := decode.Filters(text)
	if err != nil {
		return nil, err
	}
	if err := filters.Only(f, "is-automated", "is-official", "stars"); err != nil {
		return nil, err
	}
	automated, err := decode.FilterBool(f, "is-automated", false)
	if err != nil {
		return nil, err
	}
	official, err := decode.FilterBool(f, "is-official", false)
	if err != nil {
		return nil, err
	}
	stars := 0
	for text := range f["stars"] {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter 'stars=" + text + "': it is a number")
		}
		stars = max(stars, n)
	}
	return func(r registry.SearchResult) bool {
		return !automated && r.StarCount >= stars && (len(f["is-official"]) == 0 || r.IsOfficial == official)
	}, nil
}
