// Package server answers a registry's requests. The distribution library does
// uploads, manifests and tags; this package stands in front of it and decides
// who may do what, adds referrers, digests other than SHA-256, quotas, an
// on-line collection of garbage, pages for a person, metrics and a log.
//
// It promises that nobody learns of a repository which they may not pull from:
// each answer depends on the name and the rights alone. And that a client which
// stands still, or sends what it should not, costs one connection.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // by its name in a configuration
	_ "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"     // by its name in a configuration
	"github.com/sirupsen/logrus"

	"github.com/distribution/distribution/v3/registry/storage/driver/factory"

	"github.com/berth-containers/berth/internal/registry/rights"
	"github.com/berth-containers/berth/internal/registry/store"
)

// Storage is where everything is.
type Storage struct {
	Driver     string         // filesystem or s3
	Parameters map[string]any // of the distribution library's driver
	Redirect   bool           // clients get blobs from the storage itself, where it can
}

// Upstream is the registry that a pull-through cache is for.
type Upstream struct {
	URL, Username, Password string
	Keep                    time.Duration // 0: until there is no room
}

// Options are what a Server is made of.
type Options struct {
	Storage  Storage
	Store    *store.Store
	Rights   *rights.Source
	Secret   []byte // signs tokens and uploads; the same after a restart
	URL      string // what clients call the registry, if it can't be seen from their requests
	Upstream *Upstream
	Collect  store.CollectOptions
	Patience time.Duration // with a client that stands still; 0: a minute
	Metrics  *Metrics
	Log      *slog.Logger // of what goes wrong
	Access   *slog.Logger // a line for each request
}

// Server is the registry's handler.
type Server struct {
	opt       Options
	log       *slog.Logger
	metrics   *Metrics
	tokens    tokens
	passwords *rights.Verifier
	usage     *store.Usage
	backend   *handlers.App
	mux       *http.ServeMux
	collector collector
	turns     turns
}

// OpenStorage makes a driver.
func OpenStorage(ctx context.Context, s Storage) (st *store.Store, err error) {
	d, err := factory.Create(ctx, s.Driver, s.Parameters)
	if err != nil {
		return nil, fmt.Errorf("open %s storage: %w", s.Driver, err)
	}
	return store.New(d), nil
}

// New makes a server. The context ends what the library does in the background.
func New(ctx context.Context, opt Options) (s *Server, err error) {
	if opt.Patience == 0 {
		opt.Patience = defaultPatience
	}
	passwords, err := rights.NewVerifier()
	if err != nil {
		return nil, err
	}
	s = &Server{
		opt: opt, log: opt.Log, metrics: opt.Metrics, passwords: passwords,
		tokens: tokens{key: opt.Secret}, usage: store.NewUsage(opt.Store), mux: http.NewServeMux(),
		collector: collector{busy: make(chan struct{}, 1)},
	}
	// The library logs what it also answers; the answer is in the access log.
	logrus.SetLevel(logrus.PanicLevel)
	if s.backend, err = newBackend(ctx, opt); err != nil {
		return nil, err
	}
	s.mux.HandleFunc("/healthz", s.health)
	s.mux.HandleFunc("/token", s.authenticate(s.token))
	s.mux.HandleFunc("/v2/", s.authenticate(s.api))
	s.mux.HandleFunc("/", s.authenticate(pages{s}.page))
	return s, nil
}

// newBackend turns the library's panics about its configuration into errors.
func newBackend(ctx context.Context, opt Options) (app *handlers.App, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("start the distribution library: %v", r)
		}
	}()
	config := &configuration.Configuration{Storage: configuration.Storage{
		opt.Storage.Driver: configuration.Parameters(opt.Storage.Parameters),
		"delete":           configuration.Parameters{"enabled": true},
		"redirect":         configuration.Parameters{"disable": !opt.Storage.Redirect},
		// Uploads that were given up go with the garbage.
		"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
	}}
	config.HTTP.Secret = string(opt.Secret)
	config.HTTP.RelativeURLs = true
	config.Validation.Enabled = true
	config.Validation.Manifests.URLs.Allow = []string{"^https?://"}
	if up := opt.Upstream; up != nil {
		config.Proxy = configuration.Proxy{RemoteURL: up.URL, Username: up.Username, Password: up.Password, TTL: &up.Keep}
	}
	return handlers.NewApp(ctx, config), nil
}

// Close ends the library's work in the background.
func (s *Server) Close() error { return s.backend.Shutdown() }

func (s *Server) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	started := time.Now()
	w := newResponse(out, s.opt.Patience)
	in := &body{ReadCloser: r.Body, control: w.control, patience: w.patience}
	r.Body = in
	s.metrics.running.Inc()
	defer func() {
		s.metrics.running.Dec()
		// What was not read of a body is drained before the next request.
		_ = w.control.SetReadDeadline(time.Now().Add(s.opt.Patience))
		// The library panics on purpose to break a connection.
		broken := recover()
		s.report(w, r, in.bytes, time.Since(started), broken)
		if broken != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	s.mux.ServeHTTP(w, r)
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	if err := s.opt.Store.Ping(ctx); err != nil {
		s.log.Error("the storage does not answer", "error", err)
		http.Error(w, "the storage does not answer", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}
