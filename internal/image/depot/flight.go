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
		release, wait := f.try(key)
		if release != nil {
			return release, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// try takes key if nobody has it; else wait is closed when it is free.
func (f *Flights) try(key string) (release func(), wait <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if taken, ok := f.busy[key]; ok {
		return nil, taken
	}
	done := make(chan struct{})
	if f.busy == nil {
		f.busy = map[string]chan struct{}{}
	}
	f.busy[key] = done
	return func() {
		f.mu.Lock()
		delete(f.busy, key)
		f.mu.Unlock()
		close(done)
	}, nil
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
