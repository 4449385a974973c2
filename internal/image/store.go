package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/berth-containers/berth/internal/snapshot"
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
	namespace   = "berth"
	snapshotter = "overlayfs"
	// lockWait is how long an engine that is going may still hold the store.
	lockWait = 2 * time.Second
)

// Store is the image store of one engine.
type Store struct {
	*depot
	*catalogue
	*installer
	hidden   []string
	registry *distribution.Client
}

// depot holds the blobs and layers and knows who owns them.
type depot struct {
	root   string // the data root
	layout string // the OCI layout in it
	log    *slog.Logger

	db       *metadata.DB
	blobs    content.Store         // through db
	disk     content.Store         // below db
	layers   snapshots.Snapshotter // through db
	overlay  snapshots.Snapshotter // below db
	leases   leases.Manager
	writable *snapshot.Writable

	flights flights // what is fetched or unpacked just now

	// collecting keeps a chain from being collected between being found and
	// having a rootfs above it.
	collecting sync.RWMutex
	lowers     sync.Map // chain ID → []string
	background background
}

// Open opens the store, deletes what a crash left and lists the images.
func Open(ctx context.Context, o Options) (*Store, error) {
	d := &depot{root: o.Root, layout: filepath.Join(o.Root, "images"), log: o.Log}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		depot: d, catalogue: &catalogue{depot: d}, installer: &installer{d},
		hidden:   append([]string{o.Root}, o.Hidden...),
		registry: distribution.New(distribution.Options{PlainHTTP: o.PlainHTTP, UserAgent: "berth"}),
	}
	ctx = s.scope(ctx)
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.names = metadata.NewImageStore(s.db)
	if err := s.recover(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *depot) open(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(s.layout, "blobs", "sha256"), 0o711); err != nil {
		return fmt.Errorf("make image store: %w", err)
	}
	bolt, err := bbolt.Open(filepath.Join(s.root, "images.db"), 0o600, &bbolt.Options{Timeout: lockWait, NoStatistics: true})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return errdefs.ErrFailedPrecondition.WithMessage(
			fmt.Sprintf("the image store in %s is in use by another engine; stop it or use another --data-root", s.root))
	}
	if err != nil {
		return fmt.Errorf("open images.db in %s (move the file away to start with no images): %w", s.root, err)
	}
	// From here on closing the database closes bolt.
	s.db = metadata.NewDB(bolt, nil, nil)
	s.disk, err = local.NewStore(s.layout)
	if err != nil {
		return fmt.Errorf("open blobs: %w", err)
	}
	s.overlay, err = overlay.NewSnapshotter(filepath.Join(s.root, "snapshots"),
		overlay.AsynchronousRemove, overlay.WithUpperdirLabel)
	if err != nil {
		return fmt.Errorf("open snapshots: %w", err)
	}
	// Hidden behind a struct, so that a collection only marks: the files go
	// afterwards, when the database is free again.
	lazy := struct{ snapshots.Snapshotter }{s.overlay}
	s.db = metadata.NewDB(bolt, s.disk, map[string]snapshots.Snapshotter{snapshotter: lazy})
	if err := s.db.Init(ctx); err != nil {
		return fmt.Errorf("initialise images.db: %w", err)
	}
	s.blobs = s.db.ContentStore()
	s.layers = s.db.Snapshotter(snapshotter)
	s.leases = metadata.NewLeaseManager(s.db)
	s.writable, err = snapshot.Open(filepath.Join(s.root, "rootfs"), s.log)
	return err
}

// recover drops the leases of what a crash interrupted and brings index.json
// and the view in line with the database.
func (s *Store) recover(ctx context.Context) error {
	left, err := s.leases.List(ctx, `labels."`+leaseLabel+`"==work`)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	for _, l := range left {
		if err := s.leases.Delete(ctx, l); err != nil {
			return fmt.Errorf("delete lease: %w", err)
		}
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	if err := s.refresh(ctx); err != nil {
		return err
	}
	s.collectLater()
	return nil
}

// scope puts the store's namespace into ctx.
func (s *depot) scope(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, namespace)
}

// Close waits for what runs in the background and closes the files.
func (s *Store) Close() error {
	err := s.close()
	s.registry.Close()
	return err
}

func (s *depot) close() error {
	s.background.stop()
	if s.writable != nil {
		s.writable.Close()
	}
	var errs []error
	if s.overlay != nil {
		errs = append(errs, s.overlay.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}
