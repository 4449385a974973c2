package supervisor

import (
	"net"
	"sync"

	"github.com/berth-containers/berth/internal/shim"
)

// listener is a connection that is told exits.
type listener struct {
	wake chan struct{}

	mu    sync.Mutex
	exits []shim.Exit
}

func (l *listener) add(e shim.Exit) {
	l.mu.Lock()
	l.exits = append(l.exits, e)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *listener) take() []shim.Exit {
	l.mu.Lock()
	defer l.mu.Unlock()
	exits := l.exits
	l.exits = nil
	return exits
}

// exits tells the kept exits, then those to come, until the client goes.
func (s *Server) exits(conn *net.UnixConn) {
	if !respond(conn, nil, nil) {
		return
	}
	l := &listener{wake: make(chan struct{}, 1)}
	s.mu.Lock()
	for _, p := range s.procs {
		if e := p.result(); p.announced && e != nil {
			l.add(*e)
		}
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	// One reader for both the acknowledgements and the end.
	gone, acks := make(chan struct{}), make(chan struct{}, 1)
	go func() {
		defer close(gone)
		var ack struct{}
		for shim.ReadFrame(conn, &ack) == nil {
			select {
			case acks <- ack:
			default: // nothing was told: a client out of step
			}
		}
	}()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
		conn.Close()
		<-gone
	}()
	for {
		for _, e := range l.take() {
			if shim.WriteFrame(conn, e) != nil {
				return
			}
			select {
			case <-acks:
				s.acknowledged(e)
			case <-gone:
				return
			}
		}
		select {
		case <-l.wake:
		case <-gone:
			return
		}
	}
}

// acknowledged forgets what a client has taken note of.
func (s *Server) acknowledged(e shim.Exit) {
	if e.ExecID != "" {
		s.forgetExec(key{e.ID, e.ExecID})
	}
}
