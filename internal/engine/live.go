package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/health"
	"github.com/berth-containers/berth/internal/engine/restart"
	"github.com/berth-containers/berth/internal/shim"
)

// live is what the engine knows of a container only while it runs itself.
type live struct {
	id   string
	turn chan struct{} // a token: who has it carries out a verb

	mu      sync.Mutex // never held over I/O
	run     *run       // the current or last one; nil before the first
	waiters []waiter
	backoff restart.Backoff
	retry   *time.Timer
}

// run is one execution of a container.
type run struct {
	started chan struct{} // closed: failed or published as running
	exited  chan struct{} // closed: exit is set and published, waiters are woken
	settled chan struct{} // closed: exit is stored, the network is given back
	failed  bool          // set before started is closed
	exit    shim.Exit     // set before exited is closed
	process *specs.Process
	watch   atomic.Pointer[health.Watch] // nil without a health check
}

type waiter struct {
	condition api.WaitCondition
	answer    chan api.WaitResponse // buffered
}

func newRun() *run {
	return &run{started: make(chan struct{}), exited: make(chan struct{}), settled: make(chan struct{})}
}

// adopted is a run that began under an earlier engine.
func adopted() *run {
	r := newRun()
	close(r.started)
	return r
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (c *liveTable) live(id string) *live {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lives[id]
}

func (c *liveTable) addLive(id string) *live {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &live{id: id, turn: make(chan struct{}, 1)}
	c.lives[id] = l
	return l
}

func (c *liveTable) dropLive(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.lives, id)
}

// begin finds a container and waits for its turn; the caller calls end. A run
// that has just ended is put away first, so that the record is the whole truth.
func (c *core) begin(ctx context.Context, ref string) (l *live, r *container.Record, end func(), err error) {
	for {
		r, err := c.records.Find(ref)
		if err != nil {
			return nil, nil, nil, err
		}
		l := c.live(r.ID)
		if l == nil {
			return nil, nil, nil, noSuch(ref)
		}
		select {
		case l.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, nil, nil, fmt.Errorf("wait for container %s: %w", ref, ctx.Err())
		}
		end := func() { <-l.turn }
		if run := l.current(); run != nil && closed(run.exited) && !closed(run.settled) {
			end()
			select {
			case <-run.settled:
			case <-ctx.Done():
				return nil, nil, nil, fmt.Errorf("wait for container %s: %w", ref, ctx.Err())
			}
			continue
		}
		if r = c.records.Get(r.ID); r == nil {
			end()
			return nil, nil, nil, noSuch(ref)
		}
		return l, r, end, nil
	}
}

func noSuch(ref string) error {
	return errdefs.ErrNotFound.WithMessage("No such container: " + ref)
}

func notRunning(r *container.Record) error {
	return errdefs.ErrConflict.WithMessage("container " + r.ID + " is not running")
}

func (l *live) current() *run {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.run
}

func (l *live) setRun(r *run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.run = r
}

// wake answers the waiters that match.
func (l *live) wake(answer api.WaitResponse, match func(api.WaitCondition) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.waiters[:0]
	for _, w := range l.waiters {
		if match(w.condition) {
			w.answer <- answer
		} else {
			kept = append(kept, w)
		}
	}
	l.waiters = kept
}

func (l *live) addWaiter(condition api.WaitCondition) waiter {
	w := waiter{condition, make(chan api.WaitResponse, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiters = append(l.waiters, w)
	return w
}

func (l *live) dropWaiter(w waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, o := range l.waiters {
		if o.answer == w.answer {
			l.waiters = append(l.waiters[:i], l.waiters[i+1:]...)
			return
		}
	}
}

// pause returns how long to wait before the next run.
func (l *live) pause(ran time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.backoff.Next(ran)
}

func (l *live) setRetry(t *time.Timer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retry = t
}

// cancelRetry stops a planned run; false if none was planned.
func (l *live) cancelRetry() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retry != nil && l.retry.Stop()
}

func (l *live) resetBackoff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backoff = restart.Backoff{}
}
