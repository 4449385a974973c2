package server

import (
	"context"
	"sync"
)

// turns let one request at a time change the manifests and tags of a
// repository: the library makes and removes their folders without a thought
// for others that do.
type turns struct {
	mu   sync.Mutex
	keys map[string]*turn
}

type turn struct {
	slot  chan struct{}
	users int
}

// take waits for a repository's turn, or for the end of the context.
func (t *turns) take(ctx context.Context, key string) (done func(), err error) {
	t.mu.Lock()
	if t.keys == nil {
		t.keys = map[string]*turn{}
	}
	k := t.keys[key]
	if k == nil {
		k = &turn{slot: make(chan struct{}, 1)}
		t.keys[key] = k
	}
	k.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(t.keys, key)
		}
	}
	select {
	case k.slot <- struct{}{}:
		return func() { <-k.slot; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
