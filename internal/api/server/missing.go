package server

import (
	"fmt"
	"net/http"

	"github.com/containerd/errdefs"
)

// missing are the operations of the swagger that Berth has not yet.
var missing = []Route{
	{Method: "GET", Pattern: "/containers/{id}/attach/ws", Operation: "ContainerAttachWebsocket"},
	{Method: "GET", Pattern: "/containers/{id}/checkpoints", Operation: "CheckpointList"},
	{Method: "POST", Pattern: "/containers/{id}/checkpoints", Operation: "CheckpointCreate"},
	{Method: "POST", Pattern: "/build", Operation: "ImageBuild"},
	{Method: "GET", Pattern: "/images/{name}/attestations", Operation: "ImageAttestations"},
	{Method: "GET", Pattern: "/images/search", Operation: "ImageSearch"},
	{Method: "POST", Pattern: "/session", Operation: "Session"},
	{Method: "POST", Pattern: "/grpc", Operation: "GRPC"},
}

func missingRoutes() []Route {
	var table []Route
	for _, r := range missing {
		table = append(table, notYet(r))
	}
	return append(table, outsideRoutes()...)
}

func notYet(r Route) Route {
	text := fmt.Sprintf("%s (%s %s) is not supported by Berth yet", r.Operation, r.Method, r.Pattern)
	if r.Operation == "ImageSearch" {
		text = "Berth does not search: registries have no search in common. Pull an image by its name; a registry lists its repositories at https://HOST/v2/_catalog"
	}
	err := errdefs.ErrNotImplemented.WithMessage(text)
	r.serve = func(http.ResponseWriter, *request) error { return err }
	return r
}
