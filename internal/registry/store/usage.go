package store

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
)

// Limit is a quota: what the repositories that Match may hold together.
type Limit struct {
	Pattern string
	Bytes   int64
	Match   func(repository string) bool
}

// Usage counts what limits are for. A blob counts once in each limit, however
// many of its repositories link to it. It looks at the storage at a limit's
// first use and after each Reset, and counts along in between.
type Usage struct {
	s        *Store
	mu       sync.Mutex
	accounts map[string]*account
}

type account struct {
	ready chan struct{} // closed when it was counted
	err   error
	blobs map[digest.Digest]int64
	total int64
}

// NewUsage counts in a store.
func NewUsage(s *Store) *Usage { return &Usage{s: s, accounts: map[string]*account{}} }

// Reset makes the next use count anew; what was removed is only seen so.
func (u *Usage) Reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.accounts)
}

// Free is what still fits into the tightest of the limits; -1 without any.
func (u *Usage) Free(ctx context.Context, limits []Limit) (bytes int64, tightest Limit, err error) {
	bytes = -1
	for _, l := range limits {
		a, err := u.account(ctx, l)
		if err != nil {
			return 0, l, err
		}
		u.mu.Lock()
		free := max(l.Bytes-a.total, 0)
		u.mu.Unlock()
		if bytes < 0 || free < bytes {
			bytes, tightest = free, l
		}
	}
	return bytes, tightest, nil
}

// Charge counts a blob that is about to be added, or says ResourceExhausted.
// The function it returns takes it back.
func (u *Usage) Charge(ctx context.Context, limits []Limit, d digest.Digest, size int64) (undo func(), err error) {
	var charged []*account
	undo = func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		for _, a := range charged {
			a.total -= a.blobs[d]
			delete(a.blobs, d)
		}
	}
	for _, l := range limits {
		a, err := u.account(ctx, l)
		if err != nil {
			undo()
			return nil, err
		}
		u.mu.Lock()
		_, counted := a.blobs[d]
		full := !counted && a.total+size > l.Bytes
		if !counted && !full {
			a.blobs[d] = size
			a.total += size
			charged = append(charged, a)
		}
		total := a.total
		u.mu.Unlock()
		if full {
			undo()
			return nil, l.Exceeded(total, size)
		}
	}
	return undo, nil
}

// Exceeded is the error of something that does not fit.
func (l Limit) Exceeded(used, wanted int64) error {
	return errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf(
		"the quota of %s is %s and %s of it are used: %s more do not fit; delete something and collect garbage, or ask for a bigger quota",
		l.Pattern, units.HumanSize(float64(l.Bytes)), units.HumanSize(float64(used)), units.HumanSize(float64(wanted))))
}

func (u *Usage) account(ctx context.Context, l Limit) (*account, error) {
	u.mu.Lock()
	a := u.accounts[l.Pattern]
	if a == nil {
		a = &account{ready: make(chan struct{}), blobs: map[digest.Digest]int64{}}
		u.accounts[l.Pattern] = a
		u.mu.Unlock()
		u.count(ctx, l, a)
		close(a.ready)
	} else {
		u.mu.Unlock()
	}
	select {
	case <-a.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if a.err != nil {
		return nil, fmt.Errorf("count what the quota of %s is for: %w", l.Pattern, a.err)
	}
	return a, nil
}

// count fills an account. If it fails, the next use tries again.
func (u *Usage) count(ctx context.Context, l Limit, a *account) {
	blobs := map[digest.Digest]int64{}
	err := u.s.Repositories(ctx, func(name string) error {
		if !l.Match(name) {
			return nil
		}
		return addSizes(ctx, u.s, name, blobs)
	})
	u.mu.Lock()
	defer u.mu.Unlock()
	if a.err = err; err != nil {
		if u.accounts[l.Pattern] == a {
			delete(u.accounts, l.Pattern)
		}
		return
	}
	for d, size := range blobs {
		if _, counted := a.blobs[d]; !counted {
			a.blobs[d] = size
			a.total += size
		}
	}
}

// addSizes adds the blobs of a repository.
func addSizes(ctx context.Context, s *Store, repository string, blobs map[digest.Digest]int64) error {
	for _, dir := range []string{revisionsDir(repository), layersDir(repository)} {
		links, err := s.links(ctx, dir)
		if err != nil {
			return err
		}
		for _, link := range links {
			if _, counted := blobs[link.Canonical]; counted {
				continue
			}
			size, err := s.Size(ctx, link.Canonical)
			if err != nil && !errdefs.IsNotFound(err) {
				return err
			}
			blobs[link.Canonical] = size
		}
	}
	return nil
}
