// Package stdio carries the output of a process into its log and to the streams
// that are attached to it.
//
// A Pump takes bytes out of one pipe or terminal; a Sink logs them; a Hub sends
// them to streams. A chunk is logged before it is sent, so the log never waits
// for a client with what was already taken. A client that is slow holds back
// its container, as with Docker; one that takes nothing for SendTimeout is
// dropped. Bytes on their way into the log are in a spool file, so a killed shim
// neither loses nor doubles one of them (see Sink).
package stdio

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// SendTimeout is how long a stream may take nothing before it is dropped.
const SendTimeout = time.Minute

// header is the length of Docker's frame header: stream, three zeros and the
// big-endian length.
const header = 8

// Stream is one attached client.
type Stream struct {
	Conn           *net.UnixConn
	Stdin          bool
	Stdout, Stderr bool

	send  sync.Mutex // held while bytes are sent, and until the response was
	ended chan struct{}
	once  sync.Once
}

// NewStream returns a stream that sends nothing before Open.
func NewStream(conn *net.UnixConn) *Stream {
	s := &Stream{Conn: conn, ended: make(chan struct{})}
	s.send.Lock()
	return s
}

// Open lets output through.
func (s *Stream) Open() { s.send.Unlock() }

// Ended is closed when the process has ended or the stream was dropped.
func (s *Stream) Ended() <-chan struct{} { return s.ended }

// End tells the client that no more output comes.
func (s *Stream) End() {
	s.once.Do(func() {
		close(s.ended)
		s.Conn.CloseWrite()
		// What the client sends from now on is not waited for.
		s.Conn.SetReadDeadline(time.Now().Add(time.Second))
	})
}

func (s *Stream) write(p []byte) error {
	s.send.Lock()
	defer s.send.Unlock()
	for len(p) > 0 {
		s.Conn.SetWriteDeadline(time.Now().Add(SendTimeout))
		n, err := s.Conn.Write(p)
		p = p[n:]
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
