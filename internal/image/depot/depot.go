// Package depot holds the blobs and layers of images and knows who owns them.
//
// A blob is bytes under their digest in an OCI layout; a layer is one unpacked
// blob, and a chain is layers one above the other under their chain ID. Owners
// are names, leases and writable layers; what has none is collected. Flights
// are locks by name for what is being fetched or unpacked. A crash leaves
// blobs, layers and leases that nobody owns: Open sweeps what has no record and
// the first collection takes the rest. Blobs are durable when they are committed;
// chains are marked until they are, and Open drops those that a crash of the
// machine may have torn.
package depot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/berth-containers/berth/internal/boltfile"
	"github.com/berth-containers/berth/internal/snapshot"
	"github.com/berth-containers/berth/internal/sys/spread"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/errdefs"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

const (
	namespace = "berth"
	// histories is the namespace of what the builder keeps of builds that ended.
	histories = namespace + "_history"
	// Snapshotter is the name of the layers' store in labels.
	Snapshotter = "overlayfs"
	// lockWait is how long an engine that is going may still hold the store.
	lockWait = 2 * time.Second
	// CleanTime bounds what runs after the caller has gone.
	CleanTime = 30 * time.Second
)

// Depot is the blobs and layers of one engine.
type Depot struct {
	Root     string // the data root
	Layout   string // the OCI layout in it
	Log      *slog.Logger
	DB       *metadata.DB          // for the names, in one transaction with each other
	Blobs    content.Store         // through DB
	Layers   snapshots.Snapshotter // through DB
	Writable *snapshot.Writable
	Flights  Flights

	disk    content.Store         // below DB
	overlay snapshots.Snapshotter // below DB
	named   *named                // between the two
	leases  leases.Manager

	// collecting keeps a chain from being collected between being found and
	// having a rootfs above it.
	collecting sync.RWMutex
	lowers     sync.Map // chain ID → []string
	background background
	flushing   flushing
	soon       background
}

// Open opens the depot below the data root and deletes what a crash left
// without a record or a holder. boot tells this boot of the machine from
// others; "" is what the kernel says.
func Open(ctx context.Context, root, boot string, log *slog.Logger) (*Depot, error) {
	s := &Depot{Root: root, Layout: filepath.Join(root, "images"), Log: log}
	s.flushing.boot = cmp.Or(boot, bootID())
	ctx = s.Scope(ctx)
	err := s.open(ctx)
	if err == nil {
		err = s.recover(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Depot) checkDatabases() error {
	for _, name := range []string{"images.db", "snapshots/metadata.db"} {
		if err := boltfile.Check(filepath.Join(s.Root, name)); err != nil {
			return fmt.Errorf("read %s in %s: %w; move images.db and snapshots away to start with no images, or put a backup of both in their place", name, s.Root, err)
		}
	}
	return nil
}

func (s *Depot) open(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(s.Layout, "blobs", "sha256"), 0o711); err != nil {
		return fmt.Errorf("make image store: %w", err)
	}
	if err := s.checkDatabases(); err != nil {
		return err
	}
	bolt, err := bbolt.Open(filepath.Join(s.Root, "images.db"), 0o600, &bbolt.Options{Timeout: lockWait, NoStatistics: true})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return errdefs.ErrFailedPrecondition.WithMessage(
			fmt.Sprintf("the image store in %s is in use by another engine; stop it or use another --data-root", s.Root))
	}
	if err != nil {
		return fmt.Errorf("open images.db in %s (move the file away to start with no images): %w", s.Root, err)
	}
	// From here on closing the database closes bolt.
	s.DB = metadata.NewDB(bolt, nil, nil)
	s.disk, err = local.NewStore(s.Layout)
	if err != nil {
		return fmt.Errorf("open blobs: %w", err)
	}
	s.overlay, err = overlay.NewSnapshotter(filepath.Join(s.Root, "snapshots"),
		overlay.AsynchronousRemove, overlay.WithUpperdirLabel)
	if err != nil {
		return fmt.Errorf("open snapshots: %w", err)
	}
	// It is only quicker by it.
	if err := spread.Below(filepath.Join(s.Root, "snapshots", "snapshots")); err != nil {
		s.Log.Info("spread layers over the disk", "error", err)
	}
	// Its Cleanup is hidden, so that a collection only marks: the files go
	// afterwards, when the database is free again.
	lazy := &named{Snapshotter: s.overlay}
	s.named = lazy
	s.DB = metadata.NewDB(bolt, s.disk, map[string]snapshots.Snapshotter{Snapshotter: lazy})
	if err := s.DB.Init(ctx); err != nil {
		return fmt.Errorf("initialise images.db: %w", err)
	}
	s.Blobs = s.DB.ContentStore()
	s.Layers = s.DB.Snapshotter(Snapshotter)
	s.leases = metadata.NewLeaseManager(s.DB)
	s.Writable, err = snapshot.Open(filepath.Join(s.Root, "rootfs"), s.Log)
	return err
}

// recover drops the leases of what a crash interrupted and sweeps the disk.
func (s *Depot) recover(ctx context.Context) error {
	if err := (resumption{s}).releaseWork(ctx); err != nil {
		return err
	}
	if err := (Flusher{s}).dropTorn(ctx); err != nil {
		return err
	}
	return sweeper{s}.sweep(ctx)
}

// Scope puts the store's namespace into ctx.
func (s *Depot) Scope(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, namespace)
}

// Scopes are ctx in each of the namespaces that blobs are in.
func (s *Depot) Scopes(ctx context.Context) []context.Context {
	return []context.Context{s.Scope(ctx), namespaces.WithNamespace(ctx, histories)}
}

// Unleased is ctx without its lease.
func (s *Depot) Unleased(ctx context.Context) context.Context { return s.Scope(valueless{ctx}) }

// valueless is a context's life without its values.
type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }

// Close waits for what runs in the background, flushes and closes the files.
func (s *Depot) Close() error {
	s.soon.stop()
	s.background.stop()
	s.flushing.stop()
	if s.Writable != nil {
		s.Writable.Close()
	}
	var errs []error
	if s.flushing.due.Load() {
		errs = append(errs, Flusher{s}.Flush(s.Scope(context.Background())))
	}
	if s.overlay != nil {
		errs = append(errs, s.overlay.Close())
	}
	if s.DB != nil {
		errs = append(errs, s.DB.Close())
	}
	return errors.Join(errs...)
}
