package depot

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"go.etcd.io/bbolt"
)

// Shared is the depot as a builder, which keeps its own layers here too, needs it.
type Shared struct{ *Depot }

// Namespace is the one that a builder, which shares the depot, works in. It may
// also keep things in the one of that name with "_history" after it.
func (s Shared) Namespace() string { return namespace }

// LayerDir is the directory of a layer, whatever its name.
func LayerDir(i snapshots.Info) string { return i.Labels[upperLabel] }

// Leases are the owners of what a builder has here.
func (s Shared) Leases() leases.Manager { return s.leases }

// CollectSoon is CollectLater, once for all calls within the time.
func (s Shared) CollectSoon(wait time.Duration) { s.soon.after(wait, s.CollectLater) }

// Alias gives a committed layer that has a name of its own the name of a chain
// too, so that what a builder made is a layer of an image without a copy. Below
// the layer must lie what the chain parent, "" for none, is another name of:
// FailedPrecondition if something else does. NotFound if there is no such layer.
func (s Shared) Alias(ctx context.Context, chain, parent, layer string) error {
	below, err := s.backend(ctx, layer)
	if err != nil {
		return err
	}
	info, err := s.overlay.Stat(ctx, below)
	if err != nil {
		return fmt.Errorf("look up layer %s: %w", layer, err)
	}
	want := ""
	if parent != "" {
		if want, err = s.backend(ctx, parent); err != nil {
			return err
		}
	}
	if info.Kind != snapshots.KindCommitted || info.Parent != want {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("layer %s is not one above %s", layer, parent))
	}
	defer s.named.offer(chain, info)()
	_, err = s.Layers.Prepare(ctx, chain, parent, snapshots.WithLabels(map[string]string{snapshots.LabelSnapshotRef: chain}))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("name layer %s: %w", layer, err)
	}
	return nil
}

// Together makes all changes that change makes with its context in one
// transaction; change must not call what makes its own.
func (s Shared) Together(ctx context.Context, change func(context.Context) error) error {
	return s.DB.Update(func(tx *bbolt.Tx) error { return change(boltutil.WithTransaction(ctx, tx)) })
}

// backend is what a layer is called below the database, which does not tell.
func (s Shared) backend(ctx context.Context, layer string) (name string, err error) {
	look := func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("v1"))
		for _, key := range []string{namespace, "snapshots", Snapshotter, layer} {
			if b == nil {
				break
			}
			b = b.Bucket([]byte(key))
		}
		if b != nil {
			name = string(b.Get([]byte("name")))
		}
		if name == "" {
			return errdefs.ErrNotFound.WithMessage("no such layer: " + layer)
		}
		return nil
	}
	if tx, ok := boltutil.Transaction(ctx); ok {
		err = look(tx)
		return name, err
	}
	err = s.DB.View(look)
	return name, err
}

// named is the snapshotter below the database. A layer that is offered under a
// further name is one that it "has already" for containerd's database, which
// then records the name: this is how remote snapshotters do it.
type named struct {
	snapshots.Snapshotter
	mu      sync.Mutex
	offered map[string]snapshots.Info // by the further name
}

func (n *named) offer(name string, layer snapshots.Info) (withdraw func()) {
	layer.Labels = map[string]string{snapshots.LabelSnapshotRef: name, upperLabel: layer.Labels[upperLabel]}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.offered == nil {
		n.offered = map[string]snapshots.Info{}
	}
	n.offered[name] = layer
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.offered, name)
	}
}

func (n *named) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	var info snapshots.Info
	for _, opt := range opts {
		if err := opt(&info); err != nil {
			return nil, err
		}
	}
	if ref := info.Labels[snapshots.LabelSnapshotRef]; ref != "" {
		n.mu.Lock()
		_, there := n.offered[ref]
		n.mu.Unlock()
		if there {
			return nil, errdefs.ErrAlreadyExists
		}
	}
	return n.Snapshotter.Prepare(ctx, key, parent, opts...)
}

func (n *named) Walk(ctx context.Context, fn snapshots.WalkFunc, filters ...string) error {
	if len(filters) == 1 && strings.Contains(filters[0], snapshots.LabelSnapshotRef) {
		n.mu.Lock()
		var list []snapshots.Info
		for name, info := range n.offered {
			if strings.Contains(filters[0], name) {
				list = append(list, info)
			}
		}
		n.mu.Unlock()
		for _, info := range list {
			if err := fn(ctx, info); err != nil {
				return err
			}
		}
		return nil
	}
	return n.Snapshotter.Walk(ctx, fn, filters...)
}
