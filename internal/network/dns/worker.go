package dns

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/berth-containers/berth/internal/network/dns/forward"
	"github.com/berth-containers/berth/internal/sys/packet"
)

const (
	// batchCount datagrams are read together.
	batchCount = 32
	// queryBytes is the longest question over UDP, streamBytes over TCP.
	queryBytes, streamBytes = 1232, 4096
	acceptPause             = 10 * time.Millisecond
)

// worker serves the sockets of some clients.
type worker struct {
	server *Server
	poller *packet.Poller
	batch  *packet.Batch
	room   room

	mu      sync.RWMutex
	clients map[uint64]*client // by token
}

func newWorker(s *Server) (*worker, error) {
	p, err := packet.NewPoller()
	if err != nil {
		return nil, err
	}
	return &worker{server: s, poller: p, batch: packet.NewBatch(batchCount, queryBytes), clients: map[uint64]*client{}}, nil
}

// What is polled: the client's token and which of its sockets.
func udpToken(c *client) uint64 { return c.token << 1 }
func tcpToken(c *client) uint64 { return c.token<<1 | 1 }

func (w *worker) add(c *client) error {
	w.mu.Lock()
	w.clients[c.token] = c
	w.mu.Unlock()
	err := w.poller.Add(c.sockets.UDP, udpToken(c))
	if err == nil {
		err = w.poller.Add(c.sockets.TCP, tcpToken(c))
	}
	if err != nil {
		w.remove(c)
	}
	return err
}

func (w *worker) remove(c *client) {
	w.mu.Lock()
	delete(w.clients, c.token)
	w.mu.Unlock()
	for _, s := range []*packet.Socket{c.sockets.UDP, c.sockets.TCP} {
		if err := w.poller.Remove(s); err != nil {
			w.server.log.Warn("stop to serve DNS in a container", "container", c.id, "error", err)
		}
	}
}

func (w *worker) run() {
	for {
		if err := w.poller.Wait(w.ready); err != nil {
			if !errors.Is(err, os.ErrClosed) {
				w.server.log.Error("DNS is not served any more", "error", err)
			}
			return
		}
	}
}

func (w *worker) ready(token uint64) {
	w.mu.RLock()
	c := w.clients[token>>1]
	w.mu.RUnlock()
	if c == nil {
		return
	}
	var err error
	if token&1 == 0 {
		err = w.datagrams(c)
	} else {
		err = w.accept(c)
	}
	if err != nil && !errors.Is(err, os.ErrClosed) {
		w.server.log.Warn("serve DNS in a container", "container", c.id, "error", err)
		w.remove(c) // else it would be told of for ever
	}
}

// datagrams answers what is in the client's socket.
func (w *worker) datagrams(c *client) error {
	n, err := w.batch.Receive(c.sockets.UDP)
	if err != nil {
		return err
	}
	for i := range n {
		raw, whole := w.batch.Packet(i)
		if !whole {
			continue
		}
		out, ask := w.server.answer(w.batch.Out(), c, raw, false, &w.room)
		w.batch.Answer(i, out)
		if ask != nil {
			w.server.askFor(c, own(*ask), w.batch.From(i))
		}
	}
	return w.batch.Send(c.sockets.UDP)
}

// askFor sends a client the answer of other servers when it comes.
func (s *Server) askFor(c *client, r forward.Request, from netip.AddrPort) {
	s.work.Go(func() {
		answer := s.ask(c, r)
		if err := c.sockets.UDP.Send(answer, from); err != nil && !errors.Is(err, os.ErrClosed) {
			s.log.Debug("send a DNS answer", "container", c.id, "error", err)
		}
	})
}

func (w *worker) accept(c *client) error {
	conn, err := c.sockets.TCP.Accept()
	switch {
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EINTR):
		return nil
	case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		time.Sleep(acceptPause) // it stays ready: do not spin until there are descriptors
		return nil
	case err != nil:
		return err
	}
	if !c.connect(1) {
		return conn.Close()
	}
	w.server.work.Go(func() {
		defer c.connect(-1)
		defer conn.Close()
		if done, ok := c.begin(func() { conn.Close() }); ok {
			defer done()
			w.server.converse(c, conn)
		}
	})
	return nil
}

// converse answers one question after the other.
func (s *Server) converse(c *client, conn net.Conn) {
	var room room
	var length [2]byte
	for {
		if conn.SetDeadline(time.Now().Add(idleLimit)) != nil {
			return
		}
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint16(length[:])
		if n > streamBytes {
			return
		}
		raw := make([]byte, n)
		if _, err := io.ReadFull(conn, raw); err != nil {
			return
		}
		out, ask := s.answer(make([]byte, 2, 512), c, raw, true, &room)
		if ask != nil {
			out = append(out, s.ask(c, *ask)...)
		}
		if len(out) == 2 {
			return // nothing that could be answered
		}
		binary.BigEndian.PutUint16(out, uint16(len(out)-2))
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}
