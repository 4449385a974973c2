package supervisor

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/shim/supervisor/stdio"
	"github.com/berth-containers/berth/internal/sys/fifo"
	"github.com/berth-containers/berth/internal/sys/unixsock"
)

// attached is a stream and, once that exists, its process.
type attached struct {
	stream *stdio.Stream
	bound  chan *proc // takes one
}

// attach serves a stream until the process has ended or the client has gone.
func (s attaching) attach(conn *net.UnixConn, r shim.Request) {
	q, err := decode[shim.AttachRequest](r)
	if err == nil {
		err = checkID(q.ID)
	}
	if err != nil {
		respond(conn, nil, err)
		return
	}
	a := &attached{stream: stdio.NewStream(conn), bound: make(chan *proc, 1)}
	a.stream.Stdin, a.stream.Stdout, a.stream.Stderr = q.Stdin, q.Stdout, q.Stderr
	k := key{q.ID, q.ExecID}
	s.join(k, a)
	defer func() {
		s.leave(k, a)
		a.stream.End()
		a.stream.Wait()
	}()
	// Output waits until the client has its response.
	ok := respond(conn, nil, nil)
	a.stream.Open()
	var p *proc
	if ok {
		p = a.wait()
	}
	if p == nil {
		p = s.leave(k, a)
	}
	if p == nil {
		return
	}
	defer p.hub.Remove(a.stream)
	if q.Stdin {
		s.feed(p, a)
	}
	a.untilGone()
}

// join adds the stream to its process, or lets it wait for one.
func (s attaching) join(k key, a *attached) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.procs[k]
	if p != nil && !s.starting[k] && p.hub.Add(a.stream) {
		a.bound <- p
		return
	}
	if p != nil && k.execID != "" && !s.starting[k] {
		a.stream.End() // an exec does not run twice
		return
	}
	s.waiting[k] = append(s.waiting[k], a)
}

// admit gives p the streams that waited for it.
func (s attaching) admit(p *proc) {
	s.mu.Lock()
	delete(s.starting, p.key)
	waiting := s.waiting[p.key]
	delete(s.waiting, p.key)
	fed := false
	for _, a := range waiting {
		p.hub.Add(a.stream)
		a.bound <- p
		fed = fed || a.stream.Stdin
	}
	s.mu.Unlock()
	// An exec's client comes before it: this one has gone, and no other will come.
	if p.key.execID != "" && !fed && !p.state.TTY {
		s.closeStdin(p)
	}
	for _, a := range waiting {
		a.stream.Conn.SetReadDeadline(time.Unix(1, 0)) // wakes wait
	}
}

// leave lets the stream wait for no process any more; it returns the one that
// has come meanwhile, if any.
func (s attaching) leave(k key, a *attached) *proc {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rest []*attached
	for _, other := range s.waiting[k] {
		if other != a {
			rest = append(rest, other)
		}
	}
	if s.waiting[k] = rest; len(rest) == 0 {
		delete(s.waiting, k)
	}
	select {
	case p := <-a.bound:
		return p
	default:
		return nil
	}
}

// wait returns the process of the stream; nil if the client went or none came.
func (a *attached) wait() *proc {
	for gone := false; ; {
		select {
		case p := <-a.bound: // also for a client that went meanwhile: its input ends
			a.listen()
			return p
		default:
		}
		if gone {
			return nil
		}
		err := unixsock.WaitHangup(a.stream.Conn)
		gone = a.over() || !errors.Is(err, os.ErrDeadlineExceeded)
		a.listen()
	}
}

// listen takes the deadline back by which admit woke a reader, not the stream's end.
func (a *attached) listen() {
	a.stream.Conn.SetReadDeadline(time.Time{})
	if a.over() {
		a.stream.Conn.SetReadDeadline(time.Now().Add(time.Second))
	}
}

func (a *attached) over() bool {
	select {
	case <-a.stream.Ended():
		return true
	default:
		return false
	}
}

// untilGone waits for the client to hang up. After the end of the process the
// client may still be sending: closing before it stops would reset its stream.
func (a *attached) untilGone() {
	for {
		err := unixsock.WaitHangup(a.stream.Conn)
		if a.over() || !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		a.listen()
	}
}

// feed carries the client's bytes to the process, then closes its input if
// that was to be: also when the client takes no output any more.
func (s attaching) feed(p *proc, a *attached) {
	for {
		buf, n, err := s.receive(a.stream.Conn)
		if n > 0 {
			p.write(buf[:n])
		}
		s.release4k(buf)
		if a.over() || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			a.listen()
		}
	}
	if st := p.snapshot(); st.StdinOnce && !st.TTY {
		s.closeStdin(p)
	}
}

// receive waits for bytes and only then takes a buffer.
func (s attaching) receive(conn *net.UnixConn) (buf *[4096]byte, n int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		buf = s.inputs.Get().(*[4096]byte)
		n, failed = fifo.Read(int(fd), buf[:])
		if errors.Is(failed, syscall.EAGAIN) {
			s.release4k(buf)
			buf = nil
			return false
		}
		return true
	})
	return buf, n, errors.Join(err, failed)
}

func (s attaching) release4k(buf *[4096]byte) {
	if buf != nil {
		s.inputs.Put(buf)
	}
}

// write gives bytes to the process; what it does not take any more is dropped.
func (p *proc) write(b []byte) {
	p.mu.Lock()
	stdin, closed := p.stdin, p.state.StdinClosed
	p.mu.Unlock()
	if stdin != nil && !closed {
		stdin.Write(b)
	}
}

// closeStdin ends the input of p. The second holder closes its end first: else
// the program would not see the end.
func (s attaching) closeStdin(p *proc) {
	p.input.Lock()
	defer p.input.Unlock()
	st := p.snapshot()
	if st.StdinClosed || p.stdin == nil || p.hasEnded() {
		return
	}
	if err := s.change(p, func(st *state) { st.StdinClosed = true }); err != nil {
		s.log.Warn("a next shim will open stdin again", "process", p.key.String(), "error", err)
	}
	s.holders.dropStdin(p.key)
	p.stdin.Close()
}
