package server

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"net/url"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/common"

	"github.com/berth-containers/berth/internal/api/version"
)

// request is a request whose path was understood.
type request struct {
	*http.Request
	query     url.Values
	name      string // what stands for {id} or {name} in the path
	version   version.Version
	operation string
}

// handler answers one operation. An error that it returns before it has
// written anything becomes the answer.
type handler func(w http.ResponseWriter, r *request) error

// answer knows whether anything was answered.
type answer struct {
	http.ResponseWriter
	started bool
}

func (a *answer) WriteHeader(status int) {
	a.started = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.started = true
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	a.started = a.started || err == nil
	return conn, rw, err
}

// statuses is the only place where a kind of error becomes a status.
var statuses = []struct {
	is     func(error) bool
	status int
}{
	{errdefs.IsNotModified, http.StatusNotModified},
	{errdefs.IsInvalidArgument, http.StatusBadRequest},
	{errdefs.IsNotFound, http.StatusNotFound},
	{errdefs.IsAlreadyExists, http.StatusConflict},
	{errdefs.IsConflict, http.StatusConflict},
	{errdefs.IsFailedPrecondition, http.StatusConflict},
	{errdefs.IsPermissionDenied, http.StatusForbidden},
	{errdefs.IsUnauthorized, http.StatusUnauthorized},
	{errdefs.IsNotImplemented, http.StatusNotImplemented},
	{errdefs.IsUnavailable, http.StatusServiceUnavailable},
}

func statusOf(err error) int {
	for _, s := range statuses {
		if s.is(err) {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

func writeError(w http.ResponseWriter, err error) {
	status := statusOf(err)
	if status == http.StatusNotModified {
		w.WriteHeader(status) // it may have no body
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(common.ErrorResponse{Message: err.Error()})
}

// writeJSON answers with v as the client's version has it.
func writeJSON(w http.ResponseWriter, r *request, status int, v any) error {
	v, err := version.Shim(r.version, r.operation, v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return err
	}
	return nil
}

func writeNothing(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// list makes a list that is empty, not null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
