// Package server speaks the Docker Engine HTTP API: it translates requests
// into calls of the engine and the image store, and answers into JSON or
// streams. It decides nothing and keeps nothing; what a crash ends is the
// connections. See docs/design/api.md.
package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/berth-containers/berth/internal/api/metrics"
	"github.com/berth-containers/berth/internal/api/version"
)

// Options are what a server stands on.
type Options struct {
	Engine  Engine
	Images  Images
	Builder Builder
	Version string // of the engine, as shown to clients
	Log     *slog.Logger
	Metrics *metrics.Metrics // nil: nothing is counted
}

// Server serves the API on any number of listeners.
type Server struct {
	routes  *router
	server  string // the header Server
	log     *slog.Logger
	metrics *metrics.Metrics
	http    *http.Server
	active  sync.WaitGroup // handlers, also those that took their connection over
	ctx     context.Context
	endings context.CancelFunc
}

// A client that opens a connection sends its header at once; one that is idle
// between requests may take its time. Bodies and answers can be streams without
// an end, so they have no limit.
const (
	headerTimeout = 30 * time.Second
	idleTimeout   = 3 * time.Minute
	headerBytes   = 1 << 20
)

// New makes a server; it runs with Serve.
func New(o Options) *Server {
	s := &Server{routes: newRouter(routes(o)), server: "Berth/" + o.Version + " (linux)", log: o.Log, metrics: o.Metrics}
	s.ctx, s.endings = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers on l until Shutdown; then it returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops accepting, ends the streams, waits for the other requests
// until ctx ends, and breaks what is then left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.endings()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	done := make(chan struct{})
	go func() {
		s.active.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	return err
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	s.active.Add(1)
	defer s.active.Done()
	a := &answer{ResponseWriter: w}
	defer s.recover(a, hr)
	h := w.Header()
	h.Set("Server", s.server)
	h.Set("Api-Version", version.Newest)
	h.Set("Ostype", "linux")
	h.Set("Docker-Experimental", "false")

	r := &request{Request: hr, query: hr.URL.Query(), version: version.Latest()}
	err := s.dispatch(a, r)
	s.log.Debug("request", "method", hr.Method, "path", hr.URL.Path, "operation", r.operation, "error", err)
	switch {
	case err == nil:
	case a.started:
		panic(http.ErrAbortHandler) // the client must not take it for whole
	default:
		writeError(a, err)
		drain(w, hr)
	}
}

// A client that still sends its body may not read the answer before it has sent
// all: it is listened to for a while.
const (
	drainBytes    = 64 << 20
	drainPatience = 2 * time.Second
)

func drain(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if r.Body == http.NoBody || control.Flush() != nil || control.SetReadDeadline(time.Now().Add(drainPatience)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, r.Body, drainBytes)
}

func (s *Server) dispatch(w *answer, r *request) error {
	name, path := version.Cut(r.URL.Path)
	if name != "" {
		v, err := version.Check(name)
		if err != nil {
			return err
		}
		r.version = v
	}
	route, value, err := s.routes.find(r.Method, path)
	if err != nil {
		return err
	}
	r.name, r.operation = value, route.Operation
	if route.stream {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.ctx, cancel)()
		r.Request = r.WithContext(ctx)
	}
	began := time.Now()
	err = route.serve(w, r)
	if !route.stream {
		s.metrics.Observe(route.Operation, time.Since(began), err != nil)
	}
	return err
}

// recover keeps a fault in one handler from ending the engine.
func (s *Server) recover(a *answer, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p) // net/http breaks the connection
	}
	s.log.Error("a handler panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	if a.started {
		panic(http.ErrAbortHandler)
	}
	writeError(a, errors.New("internal error of the engine: its log has the details"))
}
