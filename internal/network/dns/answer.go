package dns

import (
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/berth-containers/berth/internal/network/dns/forward"
	"github.com/berth-containers/berth/internal/network/dns/query"
)

// tcpBytes is the longest answer over TCP.
const tcpBytes = 65535

// room is memory that one goroutine uses for one answer after the other.
type room struct{ addrs []netip.Addr }

// answer appends what can be said at once. If that is nothing, ask may hold a
// question for other servers.
func (s *Server) answer(out []byte, c *client, raw []byte, tcp bool, room *room) (_ []byte, ask *forward.Request) {
	q, refuse, ok := query.Parse(raw)
	if !ok {
		return append(out, refuse...), nil
	}
	if out, ok := s.local(out, c, &q, tcp, room); ok {
		return out, nil
	}
	if c.want.Load().holdSingle && (q.Type == query.TypeA || q.Type == query.TypeAAAA) && !strings.Contains(q.Name, ".") {
		return q.Code(out, query.Success), nil
	}
	servers, scope := s.servers(c)
	if len(servers) == 0 {
		return q.Code(out, query.ServerFailure), nil
	}
	if out, ok := s.forward.Cached(out, &q, scope, tcp); ok {
		return out, nil
	}
	return out, &forward.Request{Query: q, TCP: tcp, Servers: servers, Scope: scope, Dial: c.dial}
}

// local appends the answer of the client's networks. A name of theirs is never
// asked outside, whatever the type.
func (s *Server) local(out []byte, c *client, q *query.Query, tcp bool, room *room) (_ []byte, ok bool) {
	if !q.Plain || q.Class != query.ClassIN {
		return out, false
	}
	if q.Type == query.TypePTR {
		if a, ok := query.Reverse(q.Name); ok {
			if name, ok := s.names.Reverse(c.id, a); ok {
				return q.Pointer(out, name), true
			}
			return out, false
		}
	}
	known, found := s.names.Lookup(c.id, q.Name)
	if !found {
		return out, false
	}
	room.addrs = room.addrs[:0]
	for _, a := range known {
		if q.Type == query.TypeA && a.Is4() || q.Type == query.TypeAAAA && a.Is6() {
			room.addrs = append(room.addrs, a)
		}
	}
	if len(room.addrs) == 0 {
		return q.Code(out, query.Success), true
	}
	rand.Shuffle(len(room.addrs), func(i, j int) { room.addrs[i], room.addrs[j] = room.addrs[j], room.addrs[i] })
	limit := q.Size()
	if tcp {
		limit = tcpBytes
	}
	return q.Addresses(out, room.addrs, limit), true
}
