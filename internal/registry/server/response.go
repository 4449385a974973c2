package server

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// defaultPatience is how long a client may stop sending or taking before the
// connection ends. A slow one is served as long as something moves.
const defaultPatience = time.Minute

// response is what a request is answered through: it remembers what the log
// and the metrics tell, lets a handler change the header that the distribution
// library wrote, and ends connections that stand still.
type response struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	// before, if set, is called once, before the header is sent.
	before func(status int, h http.Header)

	// hide keeps the body of a server error, which may name files, for the log.
	hide bool

	caller  string
	status  int
	bytes   int64
	problem bytes.Buffer // the beginning of the body of a server error
}

const maxProblem = 1 << 10

func newResponse(w http.ResponseWriter, patience time.Duration) *response {
	return &response{ResponseWriter: w, control: http.NewResponseController(w), patience: patience}
}

func (w *response) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if w.before != nil {
		w.before(status, w.Header())
	}
	if !w.hidden() {
		w.ResponseWriter.WriteHeader(w.status)
	}
}

func (w *response) hidden() bool { return w.hide && w.status >= http.StatusInternalServerError }

// tell sends what a client may know of a server error that was kept.
func (w *response) tell() {
	if !w.hidden() {
		return
	}
	e := &apiError{http.StatusInternalServerError, "UNKNOWN", "the registry could not do this; its log says why"}
	if isFull(w.problem.String()) {
		e = &apiError{http.StatusInsufficientStorage, "UNKNOWN", "the registry's storage is full"}
	}
	w.status, w.hide = 0, false
	e.write(w)
}

func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.status >= http.StatusInternalServerError {
		w.problem.Write(p[:min(len(p), maxProblem-w.problem.Len())])
	}
	if w.hidden() {
		return len(p), nil
	}
	_ = w.control.SetWriteDeadline(time.Now().Add(w.patience)) // not supported by a test's writer
	n, err := w.ResponseWriter.Write(p)
	_ = w.control.SetWriteDeadline(time.Time{})
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func noteCaller(w http.ResponseWriter, name string) {
	if r, ok := w.(*response); ok {
		r.caller = name
	}
}

// beforeHeader runs a function before the header of an answer is sent.
func beforeHeader(w http.ResponseWriter, f func(status int, h http.Header)) {
	if r, ok := w.(*response); ok {
		r.before = f
	}
}

// body is a request's body: counted, and its connection ended when it stands still.
type body struct {
	io.ReadCloser
	control  *http.ResponseController
	patience time.Duration
	bytes    int64
}

func (b *body) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.patience))
	n, err := b.ReadCloser.Read(p)
	if err == nil || err == io.EOF {
		// While the storage works, nobody has to send anything.
		_ = b.control.SetReadDeadline(time.Time{})
	}
	b.bytes += int64(n)
	return n, err
}
