// Package lives keeps what the engine knows of containers only while it runs
// itself: who carries out a verb, the run there is, who waits for its end, and
// when the next one is planned. Nothing of it is stored; the next engine begins
// with what records and shim say.
package lives

import (
	"sync"
	"sync/atomic"
	"time"

	api "github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/engine/health"
	"github.com/berth-containers/berth/internal/engine/restart"
	"github.com/berth-containers/berth/internal/shim"
)

// Live is one container.
type Live struct {
	ID   string
	Turn chan struct{} // a token: who has it carries out a verb

	mu      sync.Mutex // never held over I/O
	run     *Run       // the current or last one; nil before the first
	waiters []Waiter
	backoff restart.Backoff
	retry   *time.Timer
	watch   *health.Watch // of the current or last run; nil without a health check
}

// Run is one execution of a container.
type Run struct {
	Started chan struct{} // closed: failed or published as running
	Exited  chan struct{} // closed: Exit is set and published, waiters are woken
	Settled chan struct{} // closed: Exit is stored, the network is given back
	Failed  bool          // set before Started is closed
	Exit    shim.Exit     // set before Exited is closed
	Process *specs.Process
	Healing atomic.Bool // it is ended because it is unhealthy
}

// Waiter is somebody who waits for a condition; one answer fits into Answer.
type Waiter struct {
	Condition api.WaitCondition
	Answer    chan api.WaitResponse
}

// NewRun is one that begins.
func NewRun() *Run {
	return &Run{Started: make(chan struct{}), Exited: make(chan struct{}), Settled: make(chan struct{})}
}

// Adopted is a run that began under an earlier engine.
func Adopted() *Run {
	r := NewRun()
	close(r.Started)
	return r
}

// Closed is whether a channel that only ever is closed has been.
func Closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Table is the containers that there are; it is safe for concurrent use.
type Table struct {
	mu   sync.Mutex
	byID map[string]*Live
}

// NewTable returns an empty one.
func NewTable() *Table { return &Table{byID: map[string]*Live{}} }

// Get returns nil if there is none.
func (t *Table) Get(id string) *Live {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

// Add makes a container known.
func (t *Table) Add(id string) *Live {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := &Live{ID: id, Turn: make(chan struct{}, 1)}
	t.byID[id] = l
	return l
}

// Drop forgets one.
func (t *Table) Drop(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, id)
}

// CancelRetries stops every planned run.
func (t *Table) CancelRetries() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.byID {
		l.CancelRetry()
	}
}

// Health is nil for a container without a health check.
func (t *Table) Health(id string) *api.Health {
	l := t.Get(id)
	if l == nil {
		return nil
	}
	w := l.Watch()
	if w == nil {
		return nil
	}
	h := w.Health()
	return &h
}

// Watch is nil without a health check.
func (l *Live) Watch() *health.Watch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.watch
}

// SetWatch replaces the watch by that of another run.
func (l *Live) SetWatch(w *health.Watch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch = w
}

// Current is nil before the first run.
func (l *Live) Current() *Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.run
}

// SetRun makes a run the current one.
func (l *Live) SetRun(r *Run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.run = r
}

// Wake answers the waiters that match.
func (l *Live) Wake(answer api.WaitResponse, match func(api.WaitCondition) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.waiters[:0]
	for _, w := range l.waiters {
		if match(w.Condition) {
			w.Answer <- answer
		} else {
			kept = append(kept, w)
		}
	}
	l.waiters = kept
}

// AddWaiter is woken from now on.
func (l *Live) AddWaiter(condition api.WaitCondition) Waiter {
	w := Waiter{condition, make(chan api.WaitResponse, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiters = append(l.waiters, w)
	return w
}

// DropWaiter forgets who waits no more.
func (l *Live) DropWaiter(w Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, o := range l.waiters {
		if o.Answer == w.Answer {
			l.waiters = append(l.waiters[:i], l.waiters[i+1:]...)
			return
		}
	}
}

// Pause returns how long to wait before the next run.
func (l *Live) Pause(ran time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.backoff.Next(ran)
}

// SetRetry notes the plan of the next run.
func (l *Live) SetRetry(t *time.Timer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retry = t
}

// CancelRetry stops a planned run; false if none was planned.
func (l *Live) CancelRetry() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retry != nil && l.retry.Stop()
}

// ResetBackoff begins anew, as after a start by the user.
func (l *Live) ResetBackoff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backoff = restart.Backoff{}
}
