package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/lives"
)

func TestStartsAreBounded(t *testing.T) {
	b := newBench(t)
	ids := make([]string, mostStarts+8)
	for i := range ids {
		ids[i] = b.create(named(fmt.Sprint("c", i)))
	}
	var mu sync.Mutex
	var now, most int
	full := make(chan struct{})
	b.w.onStart = func(string) {
		mu.Lock()
		now++
		most = max(most, now)
		if now == mostStarts && !lives.Closed(full) {
			close(full)
		}
		mu.Unlock()
		select {
		case <-full:
		case <-time.After(20 * time.Second):
			t.Error("fewer starts at once than there may be")
		}
		mu.Lock()
		now--
		mu.Unlock()
	}
	var all sync.WaitGroup
	for _, id := range ids {
		all.Go(func() {
			if err := b.Start(t.Context(), id); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most != mostStarts || len(b.verbs.starts) != 0 {
		t.Errorf("%d starts at once, %d slots not given back", most, len(b.verbs.starts))
	}
}

// fill takes all slots.
func fill(t *testing.T, s slots) (free func()) {
	t.Helper()
	for range cap(s) {
		var err error
		if free, err = s.take(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return free
}

func TestStartWaitsForASlot(t *testing.T) {
	b := newBench(t)
	id := b.create()
	free := fill(t, b.verbs.starts)
	start := func(ctx context.Context) <-chan error {
		done := make(chan error, 1)
		go func() { done <- b.Start(ctx, id) }()
		b.until("it has the turn", func() bool { return len(b.verbs.lives.Get(id).Turn) == 1 })
		return done
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := start(ctx)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || b.status(id) != container.Created || b.w.String() != "rootfs" {
		t.Fatal(err, b.status(id), b.w)
	}
	done = start(t.Context())
	select {
	case err := <-done:
		t.Fatal("it did not wait", err)
	default:
	}
	free()
	if err := <-done; err != nil || b.status(id) != container.Running {
		t.Fatal(err, b.status(id))
	}
	if len(b.verbs.starts) != mostStarts-1 {
		t.Error("the slot was not given back")
	}
}

// A planned run waits as well, and is not lost.
func TestRestartWaitsForASlot(t *testing.T) {
	b := newBench(t)
	id := b.run(policy("always"))
	free := fill(t, b.verbs.starts)
	b.w.exit(id, 1)
	b.until("it waits", func() bool { return b.status(id) == container.Restarting })
	free()
	b.until("it runs", func() bool { return b.status(id) == container.Running })
}
