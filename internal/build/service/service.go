// Package service is what the builder answers by HTTP, as the engine forwards
// it: sessions and BuildKit's own API over connections that are taken over, and
// the requests of Docker's API that are about builds. It decides nothing that
// BuildKit decides; what a crash ends is the requests.
package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/moby/api/types/common"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthapi "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/berth-containers/berth/internal/build/calls"
	"github.com/berth-containers/berth/internal/build/worker"
)

// Service answers requests.
type Service struct {
	kit   *worker.BuildKit
	log   *slog.Logger
	rpc   *grpc.Server
	taken *conns
	http  *http.Server
	setup calls.Setup
	ends  context.CancelFunc
	jobs  jobs
}

const headerTime = 30 * time.Second

// messageBytes bounds a message of a client: a Dockerfile, an operation, a piece of a log.
const messageBytes = 16 << 20

// New makes a service over kit.
func New(kit *worker.BuildKit, s calls.Setup, log *slog.Logger) *Service {
	sv := &Service{kit: kit, log: log, setup: s, taken: newConns()}
	ctx, cancel := context.WithCancel(context.Background())
	sv.ends = cancel
	sv.rpc = grpc.NewServer(grpc.MaxRecvMsgSize(messageBytes), grpc.MaxSendMsgSize(messageBytes),
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor), grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor))
	healthapi.RegisterHealthServer(sv.rpc, health.NewServer())
	kit.Register(sv.rpc)
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request) error{
		"POST /session":          sv.session,
		"POST /grpc":             sv.grpc,
		"POST /build":            sv.build,
		"POST /build/cancel":     sv.cancel,
		"POST /build/prune":      sv.prune,
		"GET " + calls.CachePath: sv.cache,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				writeError(w, err)
			}
		})
	}
	sv.http = &http.Server{Handler: mux, ReadHeaderTimeout: headerTime, BaseContext: func(net.Listener) context.Context { return ctx }}
	return sv
}

// Serve answers on l until Close.
func (s *Service) Serve(l net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.rpc.Serve(s.taken) }()
	err := s.http.Serve(l)
	s.rpc.Stop()
	<-served
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends what runs.
func (s *Service) Close() error {
	s.ends()
	return s.http.Close()
}

// writeError answers an error, unless an answer has begun.
func writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errdefs.IsInvalidArgument(err):
		status = http.StatusBadRequest
	case errdefs.IsNotFound(err):
		status = http.StatusNotFound
	case errdefs.IsNotImplemented(err):
		status = http.StatusNotImplemented
	}
	writeJSON(w, status, common.ErrorResponse{Message: err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// session is a client's: its files, secrets and credentials.
func (s *Service) session(w http.ResponseWriter, r *http.Request) error {
	if err := s.kit.Sessions.HandleHTTPRequest(r.Context(), w, r); err != nil {
		s.log.Debug("session", "error", err)
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return nil
}

// grpc is BuildKit's own API.
func (s *Service) grpc(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Upgrade") != "h2c" {
		return errdefs.ErrInvalidArgument.WithMessage("this address is for BuildKit's API: the request must ask for an upgrade to h2c")
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"); err != nil {
		conn.Close()
		return nil
	}
	ended := make(chan struct{})
	s.taken.give(&takenConn{Conn: conn, rest: buffered.Reader, closed: sync.OnceFunc(func() { close(ended) })})
	select {
	case <-ended:
	case <-r.Context().Done():
		conn.Close()
	}
	return nil
}

// conns is a listener for connections that were taken over.
type conns struct {
	list   chan net.Conn
	closed chan struct{}
	close  func()
}

func newConns() *conns {
	c := &conns{list: make(chan net.Conn), closed: make(chan struct{})}
	c.close = sync.OnceFunc(func() { close(c.closed) })
	return c
}

func (c *conns) give(conn net.Conn) {
	select {
	case c.list <- conn:
	case <-c.closed:
		conn.Close()
	}
}

func (c *conns) Accept() (net.Conn, error) {
	select {
	case conn := <-c.list:
		return conn, nil
	case <-c.closed:
		return nil, net.ErrClosed
	}
}

func (c *conns) Close() error { c.close(); return nil }

func (c *conns) Addr() net.Addr { return &net.UnixAddr{Name: "taken", Net: "unix"} }

// takenConn reads first what was read ahead.
type takenConn struct {
	net.Conn
	rest   interface{ Read([]byte) (int, error) }
	closed func()
}

func (c *takenConn) Read(p []byte) (int, error) { return c.rest.Read(p) }

func (c *takenConn) Close() error {
	c.closed()
	return c.Conn.Close()
}
