package store

import (
	"context"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// Leases keep the collection's hands off what a push needs. A push that asks
// for a blob, or names it, touches its digest first; the collection claims a
// digest before it removes it. Who comes second waits (the push, for one
// removal) or goes on to the next digest (the collection).
type Leases struct {
	mu       sync.Mutex
	touched  map[digest.Digest]time.Time
	claimed  map[digest.Digest]chan struct{}
	writes   map[*write]bool
	unnamed  int           // pushes of a blob whose canonical digest is not known yet
	released chan struct{} // closed and made anew at each release
}

// write is a request that is storing something.
type write struct{ began time.Time }

func newLeases() *Leases {
	return &Leases{
		writes: map[*write]bool{}, touched: map[digest.Digest]time.Time{}, claimed: map[digest.Digest]chan struct{}{}, released: make(chan struct{}),
	}
}

// Begin says that something is being stored, until the function it returns is
// called: what is touched in between stays for as long as that takes, whatever
// the grace.
func (l *Leases) Begin() (end func()) {
	w := &write{time.Now()}
	l.mu.Lock()
	l.writes[w] = true
	l.mu.Unlock()
	return func() {
		l.mu.Lock()
		delete(l.writes, w)
		l.mu.Unlock()
	}
}

// since bounds what a collection that begins now may take: what was touched
// neither after the wanted time nor by a write that still runs.
func (l *Leases) since(wanted time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.writes {
		if w.began.Before(wanted) {
			wanted = w.began
		}
	}
	return wanted
}

// Touch protects digests from now on, for as long as the collection's grace.
func (l *Leases) Touch(ctx context.Context, digests ...digest.Digest) error {
	for _, d := range digests {
		if err := l.touch(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (l *Leases) touch(ctx context.Context, d digest.Digest) error {
	for {
		l.mu.Lock()
		wait := l.claimed[d]
		if wait == nil {
			l.touched[d] = time.Now()
			l.mu.Unlock()
			return nil
		}
		l.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Unnamed protects everything until the function it returns is called, for an
// upload under a digest that does not tell the canonical one.
func (l *Leases) Unnamed(ctx context.Context) (done func(), err error) {
	l.mu.Lock()
	l.unnamed++
	for len(l.claimed) > 0 {
		wait := l.released
		l.mu.Unlock()
		select {
		case <-wait:
			l.mu.Lock()
		case <-ctx.Done():
			l.mu.Lock()
			l.unnamed--
			l.mu.Unlock()
			return nil, ctx.Err()
		}
	}
	l.mu.Unlock()
	return func() {
		l.mu.Lock()
		l.unnamed--
		l.mu.Unlock()
	}, nil
}

// claim takes a digest that was not touched since a time; release it after.
func (l *Leases) claim(d digest.Digest, since time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.touched[d]; l.unnamed > 0 || ok && !at.Before(since) {
		return false
	}
	l.claimed[d] = make(chan struct{})
	return true
}

// held says whether a digest was touched since a time.
func (l *Leases) held(d digest.Digest, since time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.touched[d]
	return ok && !at.Before(since)
}

func (l *Leases) release(d digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.claimed[d])
	delete(l.claimed, d)
	close(l.released)
	l.released = make(chan struct{})
}

// forget drops what was touched before a time.
func (l *Leases) forget(before time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for d, at := range l.touched {
		if at.Before(before) {
			delete(l.touched, d)
		}
	}
}
