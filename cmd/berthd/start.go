package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/api/listen"
	"github.com/berth-containers/berth/internal/api/metrics"
	"github.com/berth-containers/berth/internal/api/server"
	"github.com/berth-containers/berth/internal/config"
	"github.com/berth-containers/berth/internal/engine"
	"github.com/berth-containers/berth/internal/engine/hostspec"
	"github.com/berth-containers/berth/internal/engine/logging"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/network"
	"github.com/berth-containers/berth/internal/network/directory"
	"github.com/berth-containers/berth/internal/network/dns"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/filelock"
	"github.com/berth-containers/berth/internal/sys/userns"
	"github.com/berth-containers/berth/internal/undo"
	"github.com/berth-containers/berth/internal/version"
)

// daemon is the engine with all its parts.
type daemon struct {
	server  *server.Server
	serving sync.WaitGroup
	opened  bool             // all parts are
	failed  chan error       // a listener broke
	closers undo.Stack       // the parts, in the order of their start
	metrics *metrics.Metrics // nil: nobody asked for them
	engine  *engine.Engine
}

func start(ctx context.Context, cfg config.Config, log *slog.Logger) (d *daemon, err error) {
	shimPath, err := beside("berth-shim")
	if err != nil {
		return nil, err
	}
	initPath, err := beside("berth-init")
	if err != nil {
		return nil, err
	}
	d = &daemon{failed: make(chan error, 1)}
	defer d.closers.OnError(ctx, &err)
	if err := d.lock(cfg); err != nil {
		return nil, err
	}
	// A socket that cannot be had is found out before anything is made; a client
	// that comes early waits.
	listeners, err := openListeners(cfg, log)
	if err != nil {
		return nil, err
	}
	served := false
	defer func() {
		if !served {
			err = errors.Join(err, listen.Close(listeners))
		}
	}()
	if cfg.MetricsAddr != "" {
		d.metrics = metrics.New()
	}
	options, err := d.open(ctx, cfg, parts{shimPath, initPath}, log)
	if err != nil {
		return nil, err
	}
	options.Metrics = d.metrics
	if err := d.serveMetrics(cfg.MetricsAddr, options.Engine); err != nil {
		return nil, err
	}
	d.opened = true
	d.server = server.New(options)
	served = true
	for _, l := range listeners {
		d.serving.Go(func() { d.serve(l) })
	}
	return d, nil
}

func (d *daemon) serve(l net.Listener) {
	if err := d.server.Serve(l); err != nil {
		d.fail(fmt.Errorf("serve %s: %w", l.Addr(), err))
	}
}

// fail ends the engine; of several errors the first is told.
func (d *daemon) fail(err error) {
	select {
	case d.failed <- err:
	default:
	}
}

// serveMetrics serves them at an address of their own, if there is one.
func (d *daemon) serveMetrics(addr string, e metrics.Engine) error {
	if addr == "" {
		return nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for metrics: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := d.metrics.Serve(ctx, l, e); err != nil {
			d.fail(err)
		}
	})
	d.closers.Add(func(context.Context) error {
		cancel()
		serving.Wait()
		return nil
	})
	return nil
}

// timed notes how long a part of the start took.
func (d *daemon) timed(phase string, began *time.Time) {
	now := time.Now()
	d.metrics.Phase(phase, now.Sub(*began))
	*began = now
}

// halt ends the containers because the host stops.
func (d *daemon) halt(log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), haltLimit)
	defer cancel()
	if err := d.engine.Halt(ctx); err != nil {
		log.Warn("containers are left to the host's own end", "error", err)
	}
}

// stop ends the streams and the requests, then the parts; containers run on.
func (d *daemon) stop(ctx context.Context) error {
	err := d.server.Shutdown(ctx)
	d.serving.Wait()
	for _, closePart := range slices.Backward(d.closers) {
		err = errors.Join(err, closePart(ctx))
	}
	return err
}

// lock makes the exec root this engine's own; the engine locks the data root.
func (d *daemon) lock(cfg config.Config) error {
	if err := os.MkdirAll(cfg.ExecRoot, 0o711); err != nil {
		return fmt.Errorf("make the exec root: %w", err)
	}
	f, err := filelock.Take(filepath.Join(cfg.ExecRoot, "berthd.lock"))
	if errors.Is(err, syscall.EAGAIN) {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("another engine uses the exec root %s (its data root may be %s): stop it, or choose others with --exec-root and --data-root", cfg.ExecRoot, cfg.DataRoot))
	}
	if err != nil {
		return err
	}
	d.closers.Add(func(context.Context) error { return f.Close() })
	if cfg.PidFile == "" {
		return nil
	}
	if err := os.WriteFile(cfg.PidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return fmt.Errorf("write the pidfile: %w", err)
	}
	d.closers.Add(func(context.Context) error { return os.Remove(cfg.PidFile) })
	return nil
}

// hidden is what a container of the image host must not reach besides the data
// root: whoever talks to a socket is root on the host.
func hidden(cfg config.Config) []string {
	paths := []string{cfg.ExecRoot}
	for _, host := range cfg.Hosts {
		if path, ok := strings.CutPrefix(host, "unix://"); ok {
			paths = append(paths, path)
		}
	}
	return paths
}

// parts are the binaries that the engine works with.
type parts struct{ shim, init string }

func (d *daemon) open(ctx context.Context, cfg config.Config, bin parts, log *slog.Logger) (o server.Options, err error) {
	began := time.Now()
	images, err := image.Open(ctx, image.Options{Root: cfg.DataRoot, Hidden: hidden(cfg), Registries: cfg.Registries, LayerLimit: cfg.LayerLimit, Log: log})
	if err != nil {
		return o, err
	}
	d.closers.Add(func(context.Context) error { return images.Close() })
	d.timed("images", &began)
	client, respawn, err := d.openShim(ctx, bin.shim, cfg, log)
	if err != nil {
		return o, err
	}
	d.timed("shim", &began)
	bridge, deposit, err := d.openNetwork(ctx, client, cfg, log)
	if err != nil {
		return o, err
	}
	d.timed("network", &began)
	onHost := hostspec.This(cfg.CDISpecDirs)
	var users userns.Map
	if cfg.UsernsRemap != "" {
		if users, err = userns.Find(cfg.UsernsRemap, userns.System()); err != nil {
			return server.Options{}, err
		}
	}
	e, err := engine.New(ctx, engine.Config{
		DataRoot: cfg.DataRoot, ExecRoot: cfg.ExecRoot, CgroupParent: cfg.CgroupParent, InitBinary: bin.init,
		CgroupV2: cgroup.Detect() == cgroup.V2, Version: version.Version, Registries: cfg.Registries, Users: users, AppArmor: onHost.AppArmor, CDIDirs: cfg.CDISpecDirs,
		Log: logging.Default{Driver: cfg.LogDriver, Opts: cfg.LogOpts}, Labels: cfg.Labels,
	}, engine.Deps{
		Shim: engine.Supervise(client, respawn), Networks: engine.Bridge(bridge), Images: images, Rootfs: images, Spec: onHost.Build,
	}, log)
	if err != nil {
		return o, err
	}
	d.engine = e
	d.closers.Add(e.Shutdown)
	deposit.DropRest()
	d.timed("containers", &began)
	b, err := d.openBuild(cfg, e, images, bridge, bin.init, log)
	if err != nil {
		return o, err
	}
	stop := images.Reclaim(cfg.ImageGC, e.ReclaimImage, b.MakeRoom)
	d.closers.Add(func(context.Context) error { stop(); return nil })
	return server.Options{Engine: e, Images: images, Builder: b, Version: version.Version, Log: log}, err
}

// openNetwork opens the networks and the name server of their containers, whose
// sockets the shim keeps from one engine to the next.
func (d *daemon) openNetwork(ctx context.Context, client *shim.Client, cfg config.Config, log *slog.Logger) (*network.Network, *shim.Deposit, error) {
	deposit, err := client.OpenDeposit(ctx, log)
	if err != nil {
		return nil, nil, err
	}
	d.closers.Add(func(context.Context) error { deposit.Close(); return nil })
	names := directory.New()
	resolver := dns.New(names, deposit, "/etc/resolv.conf", log)
	d.closers.Add(resolver.Close)
	n, err := network.Open(network.Config{Instance: instance(cfg.DataRoot), Subnet: cfg.BridgeSubnet, Seed: cfg.DataRoot,
		StateDir: filepath.Join(cfg.DataRoot, "network"), Names: names, Resolver: resolver}, log)
	if err != nil {
		return nil, nil, err
	}
	d.closers.Add(n.Close)
	return n, deposit, nil
}

// instance tells the links and tables of engines on one host apart.
func instance(dataRoot string) string {
	sum := sha256.Sum256([]byte(dataRoot))
	return hex.EncodeToString(sum[:4])
}

// beside finds one of our binaries where this one is, or in PATH.
func beside(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the engine's own binary: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	path, err = exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside berthd (%s) nor in PATH: install it there", name, filepath.Dir(self))
	}
	return path, nil
}

func openListeners(cfg config.Config, log *slog.Logger) ([]net.Listener, error) {
	gid, err := groupID(cfg, log)
	if err != nil {
		return nil, err
	}
	var t *tls.Config
	if cfg.TLS.Verify {
		if t, err = listen.TLS(cfg.TLS.CA, cfg.TLS.Cert, cfg.TLS.Key); err != nil {
			return nil, err
		}
	}
	return listen.Open(cfg.Hosts, listen.Options{GID: gid, TLS: t})
}

func groupID(cfg config.Config, log *slog.Logger) (int, error) {
	g, err := user.LookupGroup(cfg.Group)
	switch {
	case err == nil:
		return strconv.Atoi(g.Gid)
	case cfg.GroupGiven:
		return 0, fmt.Errorf("group %q is not there: make it with groupadd, or choose another with --group", cfg.Group)
	}
	log.Info("only root may use the socket: there is no such group", "group", cfg.Group)
	return 0, nil
}
