// Package stdio carries the output of a process into its log and to the streams
// that are attached to it.
//
// A Pump takes bytes out of one pipe or terminal; a Sink logs them; a Hub sends
// them to streams. A chunk is logged before it is sent, so the log never waits
// for a client with what was already taken. A client that is slow holds back
// its container, as with Docker; one that takes nothing for SendTimeout is
// dropped. It does not hold back the container's end: what a pipe can hold is
// kept for it meanwhile. Bytes on their way into the log are in a spool file, so
// a killed shim neither loses nor doubles one of them (see Sink).
package stdio

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// SendTimeout is how long a stream may take nothing before it is dropped.
const SendTimeout = time.Minute

// hurriedTimeout is how long one may after its process has ended, before its
// bytes are kept for it and the end goes on.
const hurriedTimeout = 200 * time.Millisecond

// header is the length of Docker's frame header: stream, three zeros and the
// big-endian length.
const header = 8

// Stream is one attached client.
type Stream struct {
	Conn           *net.UnixConn
	Stdin          bool
	Stdout, Stderr bool

	send  sync.Mutex // held while bytes are sent, and until the response was
	late  []byte     // guarded by send: what a hurried client has not read
	ended chan struct{}
	once  sync.Once
	rest  sync.WaitGroup // the sending of late

	pace  sync.Mutex
	hurry bool
}

// NewStream returns a stream that sends nothing before Open.
func NewStream(conn *net.UnixConn) *Stream {
	s := &Stream{Conn: conn, ended: make(chan struct{})}
	s.send.Lock()
	return s
}

// Open lets output through.
func (s *Stream) Open() { s.send.Unlock() }

// hurryUp ends the waiting for the client: what it does not read at once is kept,
// and sent when the stream ends.
func (s *Stream) hurryUp() {
	s.pace.Lock()
	defer s.pace.Unlock()
	s.hurry = true
	s.Conn.SetWriteDeadline(time.Now().Add(hurriedTimeout))
}

func (s *Stream) hurried() bool {
	s.pace.Lock()
	defer s.pace.Unlock()
	return s.hurry
}

// setDeadline bounds the next write.
func (s *Stream) setDeadline() {
	s.pace.Lock()
	defer s.pace.Unlock()
	timeout := SendTimeout
	if s.hurry {
		timeout = hurriedTimeout
	}
	s.Conn.SetWriteDeadline(time.Now().Add(timeout))
}

// sendLate sends what was kept, for as long as a client may stall.
func (s *Stream) sendLate() {
	s.send.Lock()
	defer s.send.Unlock()
	s.Conn.SetWriteDeadline(time.Now().Add(SendTimeout))
	_, _ = s.Conn.Write(s.late) // the client may be gone
	s.late = nil
}

// Wait waits for what End leaves to be done.
func (s *Stream) Wait() { s.rest.Wait() }

// Ended is closed when the process has ended or the stream was dropped.
func (s *Stream) Ended() <-chan struct{} { return s.ended }

// End tells the client that no more output comes.
func (s *Stream) End() {
	s.once.Do(func() {
		if !s.hurried() {
			s.end()
			return
		}
		s.rest.Go(func() {
			s.sendLate()
			s.end()
		})
	})
}

func (s *Stream) end() {
	close(s.ended)
	s.Conn.CloseWrite()
	// What the client sends from now on is not waited for.
	s.Conn.SetReadDeadline(time.Now().Add(time.Second))
}

func (s *Stream) write(p []byte) error {
	s.send.Lock()
	defer s.send.Unlock()
	if s.late != nil {
		s.late = append(s.late, p...)
		return nil
	}
	for len(p) > 0 {
		s.setDeadline()
		n, err := s.Conn.Write(p)
		p = p[n:]
		if errors.Is(err, os.ErrDeadlineExceeded) && s.hurried() {
			s.late = append([]byte{}, p...)
			return nil
		}
		if err != nil && n == 0 {
			return err
		}
	}
	return nil
}

// Hub is the set of streams of one process.
type Hub struct {
	tty bool

	mu      sync.Mutex
	streams []*Stream // replaced, never changed in place
	ended   bool
	hurry   bool
}

// NewHub returns a hub; with a tty its streams are raw.
func NewHub(tty bool) *Hub { return &Hub{tty: tty} }

// Add lets s have the output from now on; false if the process has ended.
func (h *Hub) Add(s *Stream) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return false
	}
	h.streams = append(h.streams[:len(h.streams):len(h.streams)], s)
	if h.hurry {
		s.hurryUp()
	}
	return true
}

// Remove takes s out.
func (h *Hub) Remove(s *Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var rest []*Stream
	for _, other := range h.streams {
		if other != s {
			rest = append(rest, other)
		}
	}
	h.streams = rest
}

// HurryUp is called when the process has ended: no client delays that.
func (h *Hub) HurryUp() {
	h.mu.Lock()
	h.hurry = true
	streams := h.streams
	h.mu.Unlock()
	for _, s := range streams {
		s.hurryUp()
	}
}

// End ends all streams.
func (h *Hub) End() {
	h.mu.Lock()
	h.ended = true
	streams := h.streams
	h.streams = nil
	h.mu.Unlock()
	for _, s := range streams {
		s.End()
	}
}

// send sends frame, the payload behind header bytes of room.
func (h *Hub) send(fd byte, frame []byte) {
	h.mu.Lock()
	streams := h.streams
	h.mu.Unlock()
	if len(streams) == 0 || len(frame) == header {
		return
	}
	if h.tty {
		frame = frame[header:]
	} else {
		clear(frame[:header])
		frame[0] = fd
		binary.BigEndian.PutUint32(frame[4:], uint32(len(frame)-header))
	}
	for _, s := range streams {
		if fd == 2 && !s.Stderr || fd == 1 && !s.Stdout {
			continue
		}
		if s.write(frame) != nil {
			h.Remove(s)
			s.End()
		}
	}
}
