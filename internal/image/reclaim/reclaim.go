// Package reclaim removes images that nobody uses when the disk fills.
//
// Above the high mark it first lets go of what broken pulls have left and of the
// build cache, then removes images until the low mark is reached: dangling ones before those with
// a name, and of these the ones whose last use is longest ago. An image that was
// used or pulled a moment ago stays, since a container may be about to be made
// of it; the remover refuses those that a container has. It keeps nothing on
// disk, and a crash ends it between two images.
package reclaim

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/berth-containers/berth/internal/sys/diskspace"
)

const (
	// every is how often the disk is looked at, besides after each pull.
	every = time.Minute
	// grace is how long after its last use an image stays in any case.
	grace = 2 * time.Minute
)

// Candidate is an image that might go.
type Candidate struct {
	ID       string
	Names    []string
	Used     time.Time // when it was pulled, or last had a container made or removed
	Dangling bool
}

// Store is what is watched.
type Store interface {
	// Candidates are all images.
	Candidates() []Candidate
	// ImageBytes is what images take.
	ImageBytes(ctx context.Context) (int64, error)
	// Forget lets go of what pulls that broke off have left, and deletes what
	// nobody owns.
	Forget(ctx context.Context) error
	// Delete deletes what nobody owns.
	Delete(ctx context.Context) error
}

// Remover removes an image if no container has it, and says if it did.
type Remover func(ctx context.Context, id string) (bool, error)

// Reclaimer watches one store.
type Reclaimer struct {
	Marks  Marks
	Dir    string // on the file system
	Store  Store
	Remove Remover
	// Cache lets go of what builds can make again; nil if there is none.
	Cache func(ctx context.Context) error
	Log   *slog.Logger

	mu    sync.Mutex // one at a time
	kick  chan struct{}
	now   func() time.Time
	space func(dir string) (diskspace.Space, error)
}

// New returns a reclaimer that does nothing yet.
func New(m Marks, dir string, s Store, remove Remover, log *slog.Logger) *Reclaimer {
	return &Reclaimer{Marks: m, Dir: dir, Store: s, Remove: remove, Log: log, kick: make(chan struct{}, 1), now: time.Now, space: diskspace.Of}
}

// Kick has Run look at once. A nil reclaimer has nobody to kick.
func (r *Reclaimer) Kick() {
	if r == nil {
		return
	}
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// Run watches until ctx ends.
func (r *Reclaimer) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := r.Once(ctx); err != nil && ctx.Err() == nil {
			r.Log.Warn("make room for images", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.kick:
		}
	}
}

// Once reclaims if the high mark is passed.
func (r *Reclaimer) Once(ctx context.Context) error {
	above, err := r.above(ctx, r.Marks.High)
	if err != nil || !above {
		return err
	}
	return r.MakeRoom(ctx)
}

// MakeRoom reclaims until the low mark is reached. A nil reclaimer does nothing.
func (r *Reclaimer) MakeRoom(ctx context.Context) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if above, err := r.above(ctx, r.Marks.Low); err != nil || !above {
		return err
	}
	r.Log.Info("the disk fills: unused images go", "high", r.Marks.High.String(), "low", r.Marks.Low.String())
	if err := r.Store.Forget(ctx); err != nil {
		return err
	}
	if r.Cache != nil {
		if above, err := r.above(ctx, r.Marks.Low); err != nil || !above {
			return err
		}
		if err := r.Cache(ctx); err != nil {
			r.Log.Warn("let go of the build cache", "error", err)
		}
	}
	for _, c := range r.order() {
		if above, err := r.above(ctx, r.Marks.Low); err != nil || !above {
			return err
		}
		removed, err := r.Remove(ctx, c.ID)
		if err != nil {
			return err
		}
		if !removed {
			continue
		}
		r.Log.Info("removed an unused image", "image", c.ID, "names", c.Names, "used", c.Used.UTC().Format(time.RFC3339))
		if err := r.Store.Delete(ctx); err != nil {
			return err
		}
	}
	if above, err := r.above(ctx, r.Marks.Low); err != nil || !above {
		return err
	}
	r.Log.Warn("the disk is still above the low mark: no more images are unused", "low", r.Marks.Low.String())
	return nil
}

// order is what may go, the first to go first.
func (r *Reclaimer) order() []Candidate {
	young := r.now().Add(-grace)
	list := slices.DeleteFunc(r.Store.Candidates(), func(c Candidate) bool { return c.Used.After(young) })
	slices.SortStableFunc(list, func(a, b Candidate) int {
		if a.Dangling != b.Dangling {
			if a.Dangling {
				return -1
			}
			return 1
		}
		return cmp.Or(a.Used.Compare(b.Used), cmp.Compare(a.ID, b.ID))
	})
	return list
}

func (r *Reclaimer) above(ctx context.Context, m Mark) (bool, error) {
	if m.Bytes > 0 {
		n, err := r.Store.ImageBytes(ctx)
		return n > m.Bytes, err
	}
	s, err := r.space(r.Dir)
	return s.Percent() > m.Percent, err
}
