package server

import (
	"fmt"
	"net/http"

	"github.com/containerd/errdefs"
)

// missing are the operations of the swagger that Berth has not yet.
var missing = []Route{
	{Method: "GET", Pattern: "/containers/{id}/checkpoints", Operation: "CheckpointList"},
	{Method: "POST", Pattern: "/containers/{id}/checkpoints", Operation: "CheckpointCreate"},
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
	err := errdefs.ErrNotImplemented.WithMessage(text)
	r.serve = func(http.ResponseWriter, *request) error { return err }
	return r
}
