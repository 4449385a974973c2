// Package worker is BuildKit at home in the engine: its solver and frontends over
// the engine's store, networks, registries and runtime. A layer, a blob or an
// image that both need is there once.
//
// Words: a ref is a layer of the cache, a lease of its own keeps it; the solver's
// links from steps to refs are in cache.db, what is known of refs in metadata.db,
// builds that ended in history.db, all below <data-root>/build. These are not
// flushed as they change, nor are layers: a machine that goes down while a builder
// runs loses the cache, which the next builder then lets go of as a whole. After a
// crash of the builder or the engine it is there; what a build under way had is
// dropped by the next builder.
package worker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	leasesapi "github.com/containerd/containerd/api/services/leases/v1"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	contentproxy "github.com/containerd/containerd/v2/core/content/proxy"
	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/leases"
	leasesproxy "github.com/containerd/containerd/v2/core/leases/proxy"
	snapshotsproxy "github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/session"
	containerdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/archutil"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/util/network"
	"github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker/base"
	"go.etcd.io/bbolt"
	"google.golang.org/grpc"

	"github.com/berth-containers/berth/internal/build/calls"
	"github.com/berth-containers/berth/internal/build/executor"
	ours "github.com/berth-containers/berth/internal/build/exporter"
	"github.com/berth-containers/berth/internal/build/flat"
	"github.com/berth-containers/berth/internal/distribution"
	containers "github.com/berth-containers/berth/internal/runtime"
)

// Worker is BuildKit's, with the exporter of the docker driver.
type Worker struct {
	*base.Worker
	conn grpc.ClientConnInterface
}

// newWorker makes a worker over the store behind conn. What an earlier cache owned
// there goes if this one is fresh.
func newWorker(ctx context.Context, conn *grpc.ClientConn, s calls.Setup, fresh bool) (_ *Worker, err error) {
	run, err := containers.New(s.InitBinary)
	if err != nil {
		return nil, err
	}
	networks := map[pb.NetMode]network.Provider{
		pb.NetMode_UNSET: bridge{conn}, pb.NetMode_HOST: network.NewHostProvider(), pb.NetMode_NONE: network.NewNoneProvider(),
	}
	exec, err := executor.New(run, executor.Options{Dir: filepath.Join(s.State, "steps"), CgroupParent: s.CgroupParent, Networks: networks})
	if err != nil {
		return nil, err
	}
	store := containerdsnapshot.NewContentStore(&blobs{contentproxy.NewContentStore(contentapi.NewContentClient(conn)), s.Blobs}, s.Namespace)
	owners := leaseutil.WithNamespace(leasesproxy.NewLeaseManager(leasesapi.NewLeasesClient(conn)), s.Namespace)
	if fresh {
		if err := errors.Join(release(ctx, owners), release(ctx, owners.WithNamespace(s.Namespace+"_history"))); err != nil {
			return nil, err
		}
	}
	md, err := metadata.NewStore(filepath.Join(s.Root, "metadata.db"))
	if err != nil {
		return nil, fmt.Errorf("open the records of the cache: %w", err)
	}
	if db, ok := md.DB().(*bbolt.DB); ok {
		db.NoSync = true // as the others
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, md.Close())
		}
	}()
	layers := snapshotsproxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), s.Snapshotter)
	w, err := base.NewWorker(ctx, base.WorkerOpt{
		ID:               "berth",
		Root:             s.Root,
		Labels:           map[string]string{"org.mobyproject.buildkit.worker.executor": "berth", "org.mobyproject.buildkit.worker.snapshotter": s.Snapshotter},
		Platforms:        archutil.SupportedPlatforms(true),
		GCPolicy:         policy(s),
		BuildkitVersion:  client.BuildkitVersion{Package: version.Package, Version: version.Version, Revision: s.Version},
		NetworkProviders: networks,
		Executor:         exec,
		Snapshotter:      containerdsnapshot.NewSnapshotter(s.Snapshotter, layers, s.Namespace, nil),
		ContentStore:     store,
		Applier:          apply.NewFileSystemApplier(store),
		Differ:           walking.NewWalkingDiff(store),
		ImageStore:       names{conn},
		RegistryHosts:    distribution.New(distribution.Options{Registries: s.Registries, UserAgent: "berth-build/" + s.Version}).RegistryHosts(),
		LeaseManager:     owners,
		GarbageCollect:   collector(owners),
		MetadataStore:    md,
		MountPoolRoot:    filepath.Join(s.State, "mounts"),
	})
	if err != nil {
		return nil, fmt.Errorf("make the worker: %w", err)
	}
	return &Worker{w, conn}, nil
}

// collector has the engine collect what nobody owns: a lease that goes does so.
func collector(owners *leaseutil.Manager) func(context.Context) (gc.Stats, error) {
	return func(ctx context.Context) (gc.Stats, error) {
		l, err := owners.Create(ctx, leases.WithRandomID())
		if err != nil {
			return nil, err
		}
		return nil, owners.Delete(ctx, l, leases.SynchronousDelete)
	}
}

// Exporter returns an exporter by its name: what goes to the engine's own images
// is ours, and every image can be flat.
func (w *Worker) Exporter(name string, sessions *session.Manager) (exporter.Exporter, error) {
	tools := flat.Tools{Cache: w.CacheManager(), Differ: w.Differ, Blobs: w.ContentStore(), Leases: w.LeaseManager()}
	switch name {
	case ours.Name, client.ExporterImage:
		e, err := w.Worker.Exporter(client.ExporterImage, sessions)
		if err != nil {
			return nil, err
		}
		return flat.New(ours.New(e, w.conn), tools), nil
	case client.ExporterOCI, client.ExporterDocker:
		e, err := w.Worker.Exporter(name, sessions)
		if err != nil {
			return nil, err
		}
		return flat.New(e, tools), nil
	}
	return w.Worker.Exporter(name, sessions)
}

// policy is what the cache may take: Docker's rules.
func policy(s calls.Setup) []client.PruneInfo {
	l := s.Limits
	if l == (calls.Limits{}) {
		l = defaultLimits(s.Root)
	}
	keep := client.PruneInfo{ReservedSpace: l.ReservedBytes, MaxUsedSpace: l.MaxBytes, MinFreeSpace: l.MinFreeBytes}
	short := keep
	short.Filter = []string{"type==source.local,type==exec.cachemount,type==source.git.checkout"}
	short.KeepDuration, short.ReservedSpace, short.MaxUsedSpace, short.MinFreeSpace = transient, 0, transientBytes, 0
	old := keep
	old.KeepDuration = longAgo
	all := keep
	all.All = true
	return []client.PruneInfo{short, old, keep, all}
}
