package network

import (
	"log/slog"
	"sync"
	"time"

	"github.com/berth-containers/berth/internal/network/bridge"
)

// grace is how long a released link has to go by itself, with its namespace:
// that costs nobody anything, and taking it away costs the kernel 20 ms.
const grace = 5 * time.Second

// sweeper takes links away that outlive their endpoints, because a process
// still holds the namespace. It knows them by index: a name may belong to a new
// endpoint by then.
type sweeper struct {
	log *slog.Logger

	mu  sync.Mutex
	due map[int]leaving // by link index

	wake chan struct{}
	stop chan struct{}
	done sync.WaitGroup
}

// leaving is a link that is to be gone.
type leaving struct {
	at   time.Time
	gone func() // called once it is
}

func newSweeper(log *slog.Logger) *sweeper {
	s := &sweeper{log: log, due: map[int]leaving{}, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	s.done.Go(s.run)
	return s
}

// after has a link taken away if it is still there when the time has passed, and
// then gone called.
func (s *sweeper) after(link int, d time.Duration, gone func()) {
	s.mu.Lock()
	s.due[link] = leaving{time.Now().Add(d), gone}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sweeper) close() {
	close(s.stop)
	s.done.Wait()
}

func (s *sweeper) run() {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		link, wait := s.first()
		next.Reset(wait)
		select {
		case <-s.stop:
			return
		case <-s.wake:
		case <-next.C:
			if link == 0 {
				continue
			}
			gone := s.forget(link)
			if err := bridge.RemoveIndex(link); err != nil {
				s.log.Warn("link of a gone container stays", "link", link, "error", err)
				continue
			}
			gone()
		}
	}
}

// first is the link that is due next and how long that is; 0 if there is none.
func (s *sweeper) first() (int, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	link, at := 0, time.Now().Add(time.Hour)
	for l, d := range s.due {
		if d.at.Before(at) {
			link, at = l, d.at
		}
	}
	return link, time.Until(at)
}

func (s *sweeper) forget(link int) (gone func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone = s.due[link].gone
	delete(s.due, link)
	return gone
}
