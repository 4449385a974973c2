package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
)

// apiError is an answer in the form of the distribution specification.
type apiError struct {
	status  int
	code    string
	message string
}

var (
	errNotFound = &apiError{http.StatusNotFound, "UNSUPPORTED", "there is no such endpoint"}
	errName     = &apiError{http.StatusBadRequest, "NAME_INVALID", "invalid repository name: lower-case letters, digits, separators and / only, at most 255 bytes"}
	errTag      = &apiError{http.StatusBadRequest, "TAG_INVALID", "invalid tag: letters, digits, _ . and -, at most 128 bytes"}
	errUpload   = &apiError{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "no such upload"}
	errMethod   = &apiError{http.StatusMethodNotAllowed, "UNSUPPORTED", "the method is not allowed here"}
	errReadOnly = &apiError{http.StatusMethodNotAllowed, "UNSUPPORTED", "this registry is a pull-through cache: push to the one that it caches"}
)

func errDigest(err error) *apiError {
	return &apiError{http.StatusBadRequest, "DIGEST_INVALID", "invalid digest: " + err.Error()}
}

func (e *apiError) write(w http.ResponseWriter) {
	body, err := json.Marshal(map[string]any{"errors": []map[string]string{{"code": e.code, "message": e.message}}})
	if err != nil {
		body = []byte(`{"errors":[]}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(e.status)
	_, _ = w.Write(body) // the client went away
}

// fail answers with what an error of the store means. What only the operator
// should read goes to the log.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := &apiError{http.StatusInternalServerError, "UNKNOWN", "the registry could not do this; its log says why"}
	switch {
	case r.Context().Err() != nil:
		e = &apiError{http.StatusServiceUnavailable, "UNKNOWN", "the request was given up"}
	case errdefs.IsNotFound(err):
		e = &apiError{http.StatusNotFound, "MANIFEST_UNKNOWN", "there is no such manifest"}
	case errdefs.IsResourceExhausted(err):
		e = &apiError{http.StatusForbidden, "DENIED", err.Error()}
	default:
		s.log.Error("a request was not answered", "method", r.Method, "path", r.URL.Path, "error", err)
		if isFull(err.Error()) {
			e = &apiError{http.StatusInsufficientStorage, "UNKNOWN", "the registry's storage is full"}
		}
	}
	e.write(w)
}

func isFull(problem string) bool { return strings.Contains(problem, "no space left on device") }
