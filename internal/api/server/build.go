package server

import (
	"context"
	"net/http"

	"github.com/moby/moby/api/types/build"

	"github.com/berth-containers/berth/internal/api/version"
)

// Builder is what the server needs of builds: a process of their own answers.
type Builder interface {
	Forward(w http.ResponseWriter, r *http.Request, path string) error
	DiskUsage(ctx context.Context) ([]build.CacheRecord, error)
}

func buildRoutes(b Builder) []Route {
	return []Route{
		{"POST", "/build", "ImageBuild", forward(b), true},
		{"POST", "/build/prune", "BuildPrune", forward(b), false},
		{"POST", "/build/cancel", "BuildCancel", forward(b), false},
		{"POST", "/session", "Session", forward(b), true},
		{"POST", "/grpc", "GRPC", forward(b), true},
	}
}

// forward hands a request on to the builder.
func forward(b Builder) handler {
	return func(w http.ResponseWriter, r *request) error {
		_, path := version.Cut(r.URL.Path)
		return b.Forward(w, r.Request, path)
	}
}
