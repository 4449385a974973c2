package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/berth-containers/berth/internal/registry/rights"
	"github.com/berth-containers/berth/internal/registry/server"
	"github.com/berth-containers/berth/internal/registry/store"
)

// serveOptions are those of serve alone.
type serveOptions struct {
	*options
	listen, metrics, url, accessLog string
	open                            bool
	interval, grace, uploads        time.Duration
	untagged                        bool
	upstream                        server.Upstream
}

func newServe(common *options) *cobra.Command {
	o := serveOptions{options: common}
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the registry", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:5000", "address to listen on")
	f.BoolVar(&o.open, "open", false, "let everybody who can reach the address do everything, while there is no rights file")
	f.StringVar(&o.url, "url", "", "what clients call this registry (default: as they do in their requests)")
	f.StringVar(&o.metrics, "metrics", "", "address to serve Prometheus metrics on, such as 127.0.0.1:5001")
	f.StringVar(&o.accessLog, "access-log", "", "file to log requests to, as lines of JSON (default: standard output)")
	f.DurationVar(&o.interval, "gc-interval", 24*time.Hour, "how often garbage is collected; 0: never")
	f.DurationVar(&o.grace, "gc-grace", time.Hour, "garbage younger than this, or asked for since then, stays")
	f.DurationVar(&o.uploads, "gc-uploads", 24*time.Hour, "uploads that nothing was added to for this long are given up")
	f.BoolVar(&o.untagged, "gc-untagged", false, "also collect manifests that no tag leads to")
	f.StringVar(&o.upstream.URL, "cache-of", "", "be a pull-through cache of the registry with this URL")
	f.StringVar(&o.upstream.Username, "cache-username", "", "user of that registry")
	f.StringVar(&o.upstream.Password, "cache-password", "", "and the password; better in BERTH_REGISTRY_CACHE_PASSWORD")
	f.DurationVar(&o.upstream.Keep, "cache-keep", 7*24*time.Hour, "how long the cache keeps what nobody pulls")
	return cmd
}

func (o *serveOptions) collect() store.CollectOptions {
	return store.CollectOptions{Grace: o.grace, UploadAge: o.uploads, Untagged: o.untagged}
}

func (o *serveOptions) run(ctx context.Context) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := o.prepare(); err != nil {
		return err
	}
	lock, err := o.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	s, metrics, err := o.build(ctx, log)
	if err != nil {
		return err
	}
	defer s.Close()
	return o.serve(ctx, log, s, metrics)
}

// build makes the server from the options.
func (o *serveOptions) build(ctx context.Context, log *slog.Logger) (*server.Server, *server.Metrics, error) {
	metrics := server.NewMetrics()
	source, err := rights.Open(o.rightsFile(), log, metrics.RightsFailed)
	if err != nil {
		return nil, nil, err
	}
	if source.Current() == nil && !o.open && !isLoopback(o.listen) {
		return nil, nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"there is no rights file %s, so everybody who can reach %s could do everything; add a user with `berth-registry user add`, or say --open", o.rightsFile(), o.listen))
	}
	secret, err := o.secret()
	if err != nil {
		return nil, nil, err
	}
	access, err := o.openAccessLog()
	if err != nil {
		return nil, nil, err
	}
	storage, err := o.storage()
	if err != nil {
		return nil, nil, err
	}
	st, err := o.options.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	opt := server.Options{
		Storage: storage, Store: st, Rights: source, Secret: secret, URL: o.url,
		Collect: o.collect(), Metrics: metrics, Log: log, Access: access,
	}
	if o.upstream.URL != "" {
		opt.Upstream = &o.upstream
	}
	s, err := server.New(ctx, opt)
	return s, metrics, err
}

func (o *serveOptions) openAccessLog() (*slog.Logger, error) {
	if o.accessLog == "" {
		return slog.New(slog.NewJSONHandler(os.Stdout, nil)), nil
	}
	f, err := os.OpenFile(o.accessLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the access log: %w", err)
	}
	return slog.New(slog.NewJSONHandler(f, nil)), nil
}

// stopLimit is for requests that run when the registry is asked to stop.
const stopLimit = 20 * time.Second

// serve listens until the context ends or a listener fails.
func (o *serveOptions) serve(ctx context.Context, log *slog.Logger, s *server.Server, metrics *server.Metrics) error {
	tls, err := o.tls(log)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen: %w; choose another address with --listen", err)
	}
	if tls != nil {
		l = tls.listen(l)
	}
	listeners := map[net.Listener]http.Handler{l: s}
	_ = os.Remove(o.socket()) // of a registry that was killed; the lock is ours
	control, err := net.Listen("unix", o.socket())
	if err != nil {
		return errors.Join(fmt.Errorf("listen on the control socket: %w", err), l.Close())
	}
	if err := os.Chmod(o.socket(), 0o600); err != nil {
		return errors.Join(err, l.Close(), control.Close())
	}
	listeners[control] = s.Control()
	if o.metrics != "" {
		m, err := net.Listen("tcp", o.metrics)
		if err != nil {
			return errors.Join(fmt.Errorf("listen for metrics: %w", err), l.Close(), control.Close())
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", metrics.Handler())
		listeners[m] = mux
	}
	log.Info("berth-registry serves", "address", l.Addr().String(), "tls", tls != nil, "data", o.dataDir)
	return serveAll(ctx, listeners, func(ctx context.Context) {
		if o.interval > 0 {
			s.CollectEvery(ctx, o.interval)
		}
	})
}

func serveAll(ctx context.Context, listeners map[net.Listener]http.Handler, background func(context.Context)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		background(ctx)
		return nil
	})
	for l, h := range listeners {
		srv := &http.Server{
			Handler: h, ReadHeaderTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
			ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // what clients do to their connections
		}
		group.Go(func() error {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
			defer cancel()
			if err := srv.Shutdown(stop); err != nil {
				return srv.Close() // uploads that are broken off can be resumed
			}
			return nil
		})
	}
	return group.Wait()
}
