package supervisor

import (
	"net"
	"sync"

	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/sys/unixsock"
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
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		unixsock.WaitHangup(conn)
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
			if !s.tell(conn, e) {
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

// tell sends one exit and waits until it was taken note of.
func (s *Server) tell(conn *net.UnixConn, e shim.Exit) bool {
	if shim.WriteFrame(conn, e) != nil {
		return false
	}
	var ack struct{}
	if shim.ReadFrame(conn, &ack) != nil {
		return false
	}
	if e.ExecID != "" {
		s.forgetExec(key{e.ID, e.ExecID})
	}
	return true
}
