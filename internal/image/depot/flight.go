package depot

import (
	"context"
	"sync"
)

// Flights are locks by name: what one caller fetches or unpacks another waits
// for instead of doing it too.
type Flights struct {
	mu   sync.Mutex
	busy map[string]chan struct{}
}

// Take waits until nobody has key and takes it. The result gives it back.
func (f *Flights) Take(ctx context.Context, key string) (release func(), err error) {
	for {
		f.mu.Lock()
		wait, taken := f.busy[key]
		if !taken {
			done := make(chan struct{})
			if f.busy == nil {
				f.busy = map[string]chan struct{}{}
			}
			f.busy[key] = done
			f.mu.Unlock()
			return func() {
				f.mu.Lock()
				delete(f.busy, key)
				f.mu.Unlock()
				close(done)
			}, nil
		}
		f.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// TakeAll takes keys in their order, which must be one that all callers share.
func (f *Flights) TakeAll(ctx context.Context, keys []string) (release func(), err error) {
	var held []func()
	release = func() {
		for _, r := range held {
			r()
		}
	}
	for _, key := range keys {
		r, err := f.Take(ctx, key)
		if err != nil {
			release()
			return nil, err
		}
		held = append(held, r)
	}
	return release, nil
}
