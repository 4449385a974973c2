package sandbox

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// idle is how long Take must rest before the pool is filled to the brim: the
// start of a container that just took one should not compete with it.
const idle = 20 * time.Millisecond

// retry is how long the pool rests after it could not make a sandbox.
const retry = time.Second

// Pool keeps sandboxes ready.
type Pool struct {
	maker *Maker
	size  int
	log   *slog.Logger

	mu    sync.Mutex
	ready []Sandbox

	taken chan struct{} // one was taken
	stop  chan struct{}
	done  sync.WaitGroup
}

// NewPool starts to fill a pool of the given size.
func NewPool(m *Maker, size int, log *slog.Logger) *Pool {
	p := &Pool{maker: m, size: size, log: log, taken: make(chan struct{}, 1), stop: make(chan struct{})}
	p.done.Go(p.fill)
	return p
}

// Take returns a sandbox; with none ready it makes one itself, so that many
// callers don't wait for one producer.
func (p *Pool) Take() (Sandbox, error) {
	p.mu.Lock()
	var s Sandbox
	if n := len(p.ready); n > 0 {
		s, p.ready = p.ready[0], p.ready[1:]
	}
	p.mu.Unlock()
	p.wake()
	if s.NS != nil {
		return s, nil
	}
	return p.maker.Make()
}

// TakeAt returns the sandbox with that address if it is among the ready.
func (p *Pool) TakeAt(a netip.Addr) (Sandbox, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.ready {
		if s.Addr == a {
			p.ready = append(p.ready[:i:i], p.ready[i+1:]...)
			p.wake()
			return s, true
		}
	}
	return Sandbox{}, false
}

// Ready is how many sandboxes are ready.
func (p *Pool) Ready() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ready)
}

// Close gives up what is ready and waits for the producer.
func (p *Pool) Close() {
	close(p.stop)
	p.done.Wait()
	p.mu.Lock()
	left := p.ready
	p.ready = nil
	p.mu.Unlock()
	for _, s := range left {
		s.NS.Close()
		p.maker.Addresses.Free(s.Addr)
	}
}

func (p *Pool) wake() {
	select {
	case p.taken <- struct{}{}:
	default:
	}
}

func (p *Pool) fill() {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-p.taken:
			if p.Ready() > p.size/2 {
				rest.Reset(idle)
				continue
			}
			rest.Reset(0)
		case <-rest.C:
			if p.Ready() < p.size {
				rest.Reset(p.add())
			}
		}
	}
}

// add makes one sandbox and says how long to rest.
func (p *Pool) add() time.Duration {
	s, err := p.maker.Make()
	if err != nil {
		p.log.Warn("network sandbox could not be made ahead", "error", err)
		return retry
	}
	p.mu.Lock()
	p.ready = append(p.ready, s)
	p.mu.Unlock()
	return 0
}
