package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/moby/buildkit/cache/remotecache"
	inlineremotecache "github.com/moby/buildkit/cache/remotecache/inline"
	localremotecache "github.com/moby/buildkit/cache/remotecache/local"
	registryremotecache "github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/moby/buildkit/worker"
	"go.etcd.io/bbolt"
	"google.golang.org/grpc"

	"github.com/berth-containers/berth/internal/build/calls"
	"github.com/berth-containers/berth/internal/sys/diskspace"
)

const (
	transient      = 48 * time.Hour      // what a build can make again at once
	transientBytes = 512 << 20           // of that
	longAgo        = 60 * 24 * time.Hour // since a layer was used
	reservedPart   = 10                  // percent of the disk that the cache may have in any case
	maxPart        = 80
	freePart       = 20
)

// defaultLimits leave the cache what the disk has to spare.
func defaultLimits(root string) calls.Limits {
	d, err := diskspace.Of(root)
	if err != nil {
		return calls.Limits{}
	}
	total := d.Used + d.Free
	return calls.Limits{ReservedBytes: total * reservedPart / 100, MaxBytes: total * maxPart / 100, MinFreeBytes: total * freePart / 100}
}

// BuildKit is a controller with what it stands on.
type BuildKit struct {
	*control.Controller
	Sessions *session.Manager
	Worker   *Worker
	cache    cache
}

// Close closes the cache, which from then on outlives the machine.
func (b *BuildKit) Close() error {
	if err := b.Controller.Close(); err != nil {
		return fmt.Errorf("close the cache: %w", err)
	}
	return b.cache.settle()
}

// New opens the cache below s.Root and makes a controller.
func New(ctx context.Context, conn *grpc.ClientConn, s calls.Setup) (_ *BuildKit, err error) {
	if err := os.MkdirAll(s.Root, 0o700); err != nil {
		return nil, fmt.Errorf("make the builder's directory: %w", err)
	}
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	c := cache{s.Root}
	fresh, err := c.open()
	if err != nil {
		return nil, err
	}
	w, err := newWorker(ctx, conn, s, fresh)
	if err != nil {
		return nil, err
	}
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return nil, err
	}
	links, err := bboltcachestorage.NewStore(c.file("cache.db"))
	if err != nil {
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	history, err := bbolt.Open(c.file("history.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the history of builds: %w", err), links.Close())
	}
	images, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	if err != nil {
		return nil, err
	}
	hosts := w.RegistryHosts
	controller, err := control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends: map[string]frontend.Frontend{
			"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build),
			"gateway.v0":    images,
		},
		CacheManager: solver.NewCacheManager(ctx, "local", links, worker.NewCacheResultStorage(workers)),
		CacheStore:   links,
		ResolveCacheImporterFuncs: map[string]remotecache.ResolveCacheImporterFunc{
			"local":    localremotecache.ResolveCacheImporterFunc(sessions),
			"registry": registryremotecache.ResolveCacheImporterFunc(sessions, w.ContentStore(), hosts),
		},
		ResolveCacheExporterFuncs: map[string]remotecache.ResolveCacheExporterFunc{
			"inline":   inlineremotecache.ResolveCacheExporterFunc(),
			"local":    localremotecache.ResolveCacheExporterFunc(sessions),
			"registry": registryremotecache.ResolveCacheExporterFunc(sessions, hosts),
		},
		Entitlements:   allowed(s),
		HistoryDB:      history,
		LeaseManager:   w.LeaseManager(),
		ContentStore:   w.ContentStore(),
		GarbageCollect: w.GarbageCollect,
	})
	if err != nil {
		return nil, fmt.Errorf("make the controller: %w", err)
	}
	return &BuildKit{Controller: controller, Sessions: sessions, Worker: w, cache: c}, nil
}

// allowed are what a build may ask for: the host's network, and, if the engine's
// configuration says so, all rights.
func allowed(s calls.Setup) []string {
	list := []string{string(entitlements.EntitlementNetworkHost)}
	if s.Insecure {
		list = append(list, string(entitlements.EntitlementSecurityInsecure))
	}
	return list
}
