// Package forward asks other name servers what the networks' own names don't
// answer, and remembers the answers for as long as they say.
//
// Servers are asked in their order; one that did not answer lately comes last,
// so that a dead one costs a wait once and not with every question. All tries
// together end before the usual client's own patience of 5 s does. What is
// passed on is the server's answer with the client's ID and spelling; a server
// is believed if it is the one that was asked, repeats the question and knows
// the random ID.
//
// It is memory only, and bounded: questions under way, bytes remembered, servers
// that failed.
package forward

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/berth-containers/berth/internal/network/dns/query"
)

const (
	// budget is for all tries of one question.
	budget = 4500 * time.Millisecond
	// mostServers are asked, as resolv.conf(5) has it.
	mostServers = 3
	// mostAtOnce are the questions under way.
	mostAtOnce = 1024
	// badFor is how long a server that did not answer comes last.
	badFor = 10 * time.Second
	// mostBad servers are remembered.
	mostBad = 256
	// datagramBytes is one more than any client takes over UDP.
	datagramBytes = 4097
)

// Server is another name server.
type Server struct {
	Addr netip.AddrPort
	// Host is whether it is asked from the engine's network namespace, instead of
	// the client's.
	Host bool
}

// Request is a question on its way to other servers.
type Request struct {
	Query   query.Query
	TCP     bool // as the client asked
	Servers []Server
	// Scope is whose answers these are: another scope never sees them.
	Scope string
	Dial  func(ctx context.Context, network string, to Server) (net.Conn, error)
}

// Forwarder asks. It is safe for concurrent use.
type Forwarder struct {
	budget  time.Duration
	cache   cache
	slots   chan struct{}
	buffers sync.Pool // of *[datagramBytes]byte

	mu  sync.Mutex
	bad map[source]time.Time // until when
}

// source is a server as one scope reaches it.
type source struct {
	scope  string
	server Server
}

// New returns a Forwarder that remembers nothing yet.
func New() *Forwarder {
	return &Forwarder{budget: budget, slots: make(chan struct{}, mostAtOnce), bad: map[source]time.Time{},
		buffers: sync.Pool{New: func() any { return new([datagramBytes]byte) }}}
}

// Cached appends the answer that is remembered, if one is.
func (f *Forwarder) Cached(out []byte, q *query.Query, scope string, tcp bool) ([]byte, bool) {
	if !cacheable(q) {
		return out, false
	}
	answer, ok := f.cache.get(keyOf(q, scope), time.Now())
	if !ok {
		return out, false
	}
	return passOn(out, q, answer, tcp), true
}

// Clear forgets all answers.
func (f *Forwarder) Clear() { f.cache.clear() }

// Ask appends an answer of one of the servers, or that there was none.
func (f *Forwarder) Ask(ctx context.Context, out []byte, r Request) []byte {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	default:
		return r.Query.Code(out, query.Refused)
	}
	ctx, cancel := context.WithTimeout(ctx, f.budget)
	defer cancel()
	deadline, _ := ctx.Deadline()
	buffer := f.buffers.Get().(*[datagramBytes]byte)
	defer f.buffers.Put(buffer)
	tries := f.order(r)
	for i, s := range tries {
		patience := time.Until(deadline) / time.Duration(len(tries)-i)
		answer, err := exchange(ctx, r, s, patience, buffer[:])
		f.note(source{r.Scope, s}, err != nil && ctx.Err() == nil)
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			continue
		}
		if code := answer.code(); code == query.ServerFailure || code == query.Refused {
			continue // the next may know
		}
		if cacheable(&r.Query) {
			f.cache.put(keyOf(&r.Query, r.Scope), answer, time.Now())
		}
		return passOn(out, &r.Query, answer, r.TCP)
	}
	return r.Query.Code(out, query.ServerFailure)
}

// order is the servers in the order in which they are tried; a single one is
// tried twice, because datagrams get lost.
func (f *Forwarder) order(r Request) []Server {
	servers := r.Servers[:min(len(r.Servers), mostServers)]
	var good, bad []Server
	now := time.Now()
	f.mu.Lock()
	for _, s := range servers {
		if f.bad[source{r.Scope, s}].After(now) {
			bad = append(bad, s)
		} else {
			good = append(good, s)
		}
	}
	f.mu.Unlock()
	all := append(good, bad...)
	if len(all) == 1 && !r.TCP {
		all = append(all, all[0])
	}
	return all
}

func (f *Forwarder) note(s source, failed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !failed {
		delete(f.bad, s)
		return
	}
	if len(f.bad) >= mostBad {
		clear(f.bad)
	}
	f.bad[s] = time.Now().Add(badFor)
}

// passOn appends an answer as the client may take it.
func passOn(out []byte, q *query.Query, a answer, tcp bool) []byte {
	if !tcp && len(a) > q.Size() {
		return q.Truncated(out)
	}
	from := len(out)
	out = append(out, a...)
	binary.BigEndian.PutUint16(out[from:], q.ID())
	copy(out[from+headerBytes:], q.Question())
	return out
}

// exchange asks one server and waits for its answer, which may be in the buffer.
func exchange(ctx context.Context, r Request, s Server, patience time.Duration, buffer []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	network := "udp"
	if r.TCP {
		network = "tcp"
	}
	conn, err := r.Dial(ctx, network, s)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	id := uint16(rand.Uint32())
	ask := make([]byte, 2, 2+len(r.Query.Raw))
	binary.BigEndian.PutUint16(ask, uint16(len(r.Query.Raw)))
	ask = append(ask, r.Query.Raw...)
	binary.BigEndian.PutUint16(ask[2:], id)
	if !r.TCP {
		ask = ask[2:]
	}
	if _, err := conn.Write(ask); err != nil {
		return nil, err
	}
	for {
		a, err := receive(conn, r.TCP, buffer)
		if err != nil {
			return nil, err
		}
		// What is not the answer may be somebody's guess at it: go on waiting.
		if a.answers(&r.Query, id) {
			return a, nil
		}
	}
}

func receive(conn net.Conn, tcp bool, buffer []byte) (answer, error) {
	if !tcp {
		n, err := conn.Read(buffer)
		return answer(buffer[:n]), err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	message := make(answer, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, message)
	return message, err
}
