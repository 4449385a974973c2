package depot

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// LeaseLabel is on the engine's own leases: "work", "pull", "resume", "rootfs" or
// "view". A builder's have none.
const LeaseLabel = "berth.lease"

const (
	workLabel = "work"
	rootfsID  = "rootfs" // the lease of the chains that have a rootfs
)

// background runs at most one collection at a time and remembers that another
// is wanted.
type background struct {
	mu      sync.Mutex
	again   bool
	running bool
	stopped bool
	waiting bool // for later, which within set
	later   *time.Timer
	work    sync.WaitGroup
}

// after runs at some time, if nothing stops it; of several times the last counts.
func (b *background) after(wait time.Duration, run func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.later != nil {
		b.later.Stop()
	}
	if !b.stopped {
		b.later = time.AfterFunc(wait, run)
	}
}

// within runs after some time, if nothing stops it; of several the first counts.
func (b *background) within(wait time.Duration, run func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting || b.stopped {
		return
	}
	b.waiting = true
	b.later = time.AfterFunc(wait, func() {
		b.mu.Lock()
		b.waiting = false
		b.mu.Unlock()
		b.kick(run)
	})
}

func (b *background) kick(run func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.again = true
	if b.running || b.stopped {
		return
	}
	b.running = true
	b.work.Go(func() {
		for b.next() {
			run()
		}
	})
}

func (b *background) next() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.again || b.stopped {
		b.running = false
		return false
	}
	b.again = false
	return true
}

func (b *background) stop() {
	b.mu.Lock()
	b.stopped = true
	if b.later != nil {
		b.later.Stop()
	}
	b.mu.Unlock()
	b.work.Wait()
}

// CollectLater deletes in the background what nobody owns any more.
func (s *Depot) CollectLater() {
	s.background.kick(func() {
		if err := s.Collect(s.Scope(context.Background())); err != nil {
			s.Log.Warn("collect images", "error", err)
		}
	})
}

// Collect deletes the blobs and layers without an owner: owners are names,
// leases of what is being fetched, and rootfs.
func (s *Depot) Collect(ctx context.Context) error {
	for asItIs := false; ; {
		done, err := s.mark(ctx, asItIs)
		if err != nil {
			return err
		}
		if done {
			break
		}
		if err := (Flusher{s}).Flush(ctx); err != nil {
			// On a full disk this is what makes room.
			s.Log.Error("flush layers below containers", "error", err)
			asItIs = true
		}
	}
	if c, ok := s.overlay.(snapshots.Cleaner); ok {
		// Before the first layer there is nothing to look through.
		if err := c.Cleanup(ctx); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("delete layers: %w", err)
		}
	}
	return nil
}

// mark takes what nobody owns out of the database and deletes the blobs. A
// rootfs made meanwhile waits: its chain might be one that is going. Unless it is
// to take things as they are, it does nothing while a chain below a rootfs is to
// be flushed: the blobs, from which it could be unpacked again, may go and leave
// the chain to the container.
func (s *Depot) mark(ctx context.Context, asItIs bool) (done bool, err error) {
	s.collecting.Lock()
	defer s.collecting.Unlock()
	used, err := s.leaseRootfs(ctx)
	if err != nil {
		return false, err
	}
	if !asItIs {
		if unflushed, err := (Flusher{s}).any(ctx, used); unflushed || err != nil {
			return false, err
		}
	}
	if _, err := s.DB.GarbageCollect(ctx); err != nil {
		return false, fmt.Errorf("collect images.db: %w", err)
	}
	s.lowers.Clear()
	return true, nil
}

// leaseRootfs makes the chains below every rootfs owned by one lease, and
// returns them.
func (s *Depot) leaseRootfs(ctx context.Context) (used map[string]bool, err error) {
	keys, err := s.Writable.Keys()
	if err != nil {
		return nil, err
	}
	want := map[string]bool{}
	for _, key := range keys {
		l, err := s.Writable.Get(key)
		if err != nil {
			s.Log.Warn("read rootfs", "key", key, "error", err)
			continue
		}
		if strings.HasPrefix(l.Chain, "sha256:") {
			want[l.Chain] = true
		}
	}
	used = maps.Clone(want)
	_, err = s.leases.Create(ctx, leases.WithID(rootfsID), leases.WithLabel(LeaseLabel, rootfsID))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return nil, fmt.Errorf("lease rootfs: %w", err)
	}
	lease := leases.Lease{ID: rootfsID}
	have, err := s.leases.ListResources(ctx, lease)
	if err != nil {
		return nil, fmt.Errorf("list leased rootfs: %w", err)
	}
	for _, r := range have {
		if want[r.ID] {
			delete(want, r.ID)
			continue
		}
		if err := s.leases.DeleteResource(ctx, lease, r); err != nil {
			return nil, fmt.Errorf("release chain %s: %w", r.ID, err)
		}
	}
	for chain := range want {
		if err := s.leases.AddResource(ctx, lease, chainResource(chain)); err != nil {
			return nil, fmt.Errorf("lease chain %s: %w", chain, err)
		}
	}
	return used, nil
}

func chainResource(chain string) leases.Resource {
	return leases.Resource{ID: chain, Type: "snapshots/" + Snapshotter}
}

// Lease returns a context whose blobs and snapshots stay until done is called.
// done(err) with an error collects at once, so that a failure leaves nothing.
func (s *Depot) Lease(ctx context.Context) (leased context.Context, done func(error), err error) {
	return s.lease(ctx, leases.WithLabel(LeaseLabel, workLabel))
}

func (s *Depot) lease(ctx context.Context, opts ...leases.Opt) (leased context.Context, done func(error), err error) {
	l, err := s.leases.Create(ctx, append(opts, leases.WithRandomID())...)
	if err != nil {
		return nil, nil, fmt.Errorf("take lease: %w", err)
	}
	done = func(failed error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), CleanTime)
		defer cancel()
		if err := s.leases.Delete(ctx, l); err != nil {
			s.Log.Warn("delete lease", "error", err)
		}
		if failed == nil {
			return
		}
		if err := s.Collect(ctx); err != nil {
			s.Log.Warn("collect images", "error", err)
		}
	}
	return leases.WithLease(ctx, l.ID), done, nil
}

// HoldBlob makes the lease of ctx an owner of a blob and says if it is there.
func (s *Depot) HoldBlob(ctx context.Context, d digest.Digest) (bool, error) {
	if err := s.hold(ctx, leases.Resource{ID: d.String(), Type: "content"}); err != nil {
		return false, err
	}
	_, err := s.Blobs.Info(ctx, d)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up blob %s: %w", d, err)
	}
	if _, err := os.Lstat(s.BlobPath(d)); err != nil {
		return false, errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("blob %s has gone from %s; remove the image and pull it again", d, s.Layout))
	}
	return true, nil
}

// HoldChain does the same for an unpacked chain of layers.
func (s *Depot) HoldChain(ctx context.Context, chain string) (bool, error) {
	if err := s.hold(ctx, chainResource(chain)); err != nil {
		return false, err
	}
	info, err := s.Layers.Stat(ctx, chain)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up layers %s: %w", chain, err)
	}
	return info.Kind == snapshots.KindCommitted, nil
}

// hold adds before it looks: a collection either sees the lease or is over.
func (s *Depot) hold(ctx context.Context, r leases.Resource) error {
	id, ok := leases.FromContext(ctx)
	if !ok {
		return nil
	}
	if err := s.leases.AddResource(ctx, leases.Lease{ID: id}, r); err != nil {
		return fmt.Errorf("lease %s: %w", r.ID, err)
	}
	return nil
}
