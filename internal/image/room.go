package image

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/name"
	"github.com/berth-containers/berth/internal/image/reclaim"
	"github.com/berth-containers/berth/internal/sys/diskspace"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// usesBucket of images.db has when chains were used last.
const usesBucket = "berth.used"

// saveEvery is how often that is written, if it changed.
const saveEvery = 5 * time.Minute

// room is how the store makes room on the disk, once Reclaim was called.
type room struct{ *reclaim.Reclaimer }

// Reclaim empties the build cache by cache and removes images by remove when the disk fills above the high mark,
// until stop is called. It is called once, before the first request.
func (s *Store) Reclaim(m reclaim.Marks, remove func(ctx context.Context, unused Image) ([]Removed, error), cache func(context.Context) error) (stop func()) {
	if !m.On() {
		return func() {}
	}
	remover := func(ctx context.Context, id string) (bool, error) {
		img, ok := s.view.Load().byID[digest.Digest(id)]
		if !ok {
			return false, nil
		}
		removed, err := remove(ctx, img.clone())
		return len(removed) > 0, err
	}
	ctx, cancel := context.WithCancel(s.depot.Scope(context.Background()))
	s.room.Reclaimer = reclaim.New(m, s.depot.Root, reclaimable{s}, remover, s.depot.Log)
	s.room.Cache = cache
	var work sync.WaitGroup
	work.Go(func() { s.room.Run(ctx) })
	work.Go(func() { reclaimable{s}.saveUses(ctx) })
	return func() { cancel(); work.Wait() }
}

// saveUses keeps what a kill of the engine would lose.
func (s reclaimable) saveUses(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.used.save(s.depot.DB, s.view.Load()); err != nil {
			s.depot.Log.Warn("save when images were used", "error", err)
		}
	}
}

// makeRoom frees what it can on a full disk for the pull of a name, and says if
// there is more room than before.
func (s reclaimable) makeRoom(ctx context.Context, name string) bool {
	before, err := diskspace.Of(s.depot.Root)
	err = errors.Join(err, s.depot.Forget(ctx, name), s.room.MakeRoom(ctx))
	after, afterErr := diskspace.Of(s.depot.Root)
	if err = errors.Join(err, afterErr); err != nil {
		s.depot.Log.Warn("make room on the full disk", "error", err)
	}
	return after.Free > before.Free
}

// reclaimable is the store as its reclaimer sees it.
type reclaimable struct{ *Store }

func (s reclaimable) Candidates() []reclaim.Candidate {
	v := s.view.Load()
	var list []reclaim.Candidate
	for _, img := range v.images {
		c := reclaim.Candidate{ID: img.ID.String(), Names: img.Tags, Used: s.used.of(chainOf(img)), Dangling: true}
		for _, r := range v.namesOf(img.ID) {
			if !strings.HasPrefix(r.Name, name.Dangling) {
				c.Dangling = false
			}
			if r.UpdatedAt.After(c.Used) {
				c.Used = r.UpdatedAt
			}
		}
		list = append(list, c)
	}
	return list
}

func (s reclaimable) ImageBytes(ctx context.Context) (int64, error) { return s.DiskUsage(ctx) }
func (s reclaimable) Forget(ctx context.Context) error              { return s.depot.Forget(ctx, "") }
func (s reclaimable) Delete(ctx context.Context) error              { return s.depot.Collect(ctx) }

// chainOf is the chain below the containers of an image.
func chainOf(img *Image) string {
	switch {
	case img.Host:
		return depot.HostChain
	case len(img.Layers) == 0:
		return depot.EmptyChain
	}
	return identity.ChainID(img.Layers).String()
}

// uses are when chains last had a container made or removed.
type uses struct {
	mu      sync.Mutex
	at      map[string]time.Time
	changed bool
}

// load reads what was saved.
func (u *uses) load(db *metadata.DB) error {
	return db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(usesBucket))
		if b == nil {
			return nil
		}
		u.at = map[string]time.Time{}
		return b.ForEach(func(chain, text []byte) error {
			var at time.Time
			if err := at.UnmarshalText(text); err == nil {
				u.at[string(chain)] = at
			}
			return nil
		})
	})
}

// save writes the uses of the images that are there, if there are new ones.
func (u *uses) save(db *metadata.DB, v *view) error {
	u.mu.Lock()
	at, changed := maps.Clone(u.at), u.changed
	u.changed = false
	u.mu.Unlock()
	if !changed {
		return nil
	}
	err := db.Update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket([]byte(usesBucket)); err != nil && !errors.Is(err, bbolterrors.ErrBucketNotFound) {
			return err
		}
		b, err := tx.CreateBucket([]byte(usesBucket))
		if err != nil {
			return err
		}
		for _, img := range v.images {
			chain := chainOf(img)
			if at[chain].IsZero() {
				continue
			}
			text, err := at[chain].UTC().MarshalText()
			if err != nil {
				return err
			}
			if err := b.Put([]byte(chain), text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save when images were used: %w", err)
	}
	return nil
}

func (u *uses) note(chain string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.at == nil {
		u.at = map[string]time.Time{}
	}
	u.at[chain], u.changed = time.Now(), true
}

func (u *uses) of(chain string) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.at[chain]
}
