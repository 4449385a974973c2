package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-containers/berth/internal/network"
	"github.com/berth-containers/berth/internal/network/dns/forward"
	"github.com/berth-containers/berth/internal/network/dns/listen"
	"github.com/berth-containers/berth/internal/network/dns/query"
	"github.com/berth-containers/berth/internal/sys/netns"
)

const (
	// mostCalls of one client are under way, so that one cannot take all.
	mostCalls = 256
	// mostConnections of one client are open.
	mostConnections = 32
	// idleLimit is for a connection on which nothing is asked.
	idleLimit = 10 * time.Second
)

// client is a container that is served.
type client struct {
	id      string
	ns      nsID
	sockets listen.Sockets
	token   uint64
	worker  *worker
	want    atomic.Pointer[want]

	mu          sync.Mutex
	ended       bool
	running     map[*call]struct{} // what end must end
	connections int
}

// want is what the container was started with.
type want struct {
	servers []forward.Server // none: the host's
	// holdSingle is whether a name without dots is never asked outside, because
	// the container's resolver adds search domains itself.
	holdSingle bool
}

func wanted(c network.Client) *want {
	w := &want{holdSingle: c.HoldSingle}
	for _, a := range c.Servers {
		if a != listen.Address() { // it would ask itself for ever
			w.servers = append(w.servers, forward.Server{Addr: netip.AddrPortFrom(a, listen.Port)})
		}
	}
	return w
}

// call is something that goes on for a client.
type call struct{ stop func() }

// begin registers what goes on until done is called; false: it may not.
func (c *client) begin(stop func()) (done func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || len(c.running) >= mostCalls {
		return nil, false
	}
	k := &call{stop}
	c.running[k] = struct{}{}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.running, k)
	}, true
}

// connect counts a connection.
func (c *client) connect(by int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if by > 0 && c.connections >= mostConnections {
		return false
	}
	c.connections += by
	return true
}

func (c *client) end() {
	c.mu.Lock()
	c.ended = true
	for k := range c.running {
		k.stop()
	}
	c.mu.Unlock()
	c.sockets.Close()
}

// servers are those to be asked for a client, and whose answers those are.
func (s *Server) servers(c *client) (servers []forward.Server, scope string) {
	if w := c.want.Load(); len(w.servers) > 0 {
		return w.servers, c.id
	}
	if !s.names.External(c.id) {
		return nil, ""
	}
	servers, err := s.host.get()
	if err != nil {
		s.log.Warn("find the host's name servers", "error", err)
	}
	return servers, "host"
}

// dial connects to a server from where it is to be asked.
func (c *client) dial(ctx context.Context, network string, to forward.Server) (conn net.Conn, err error) {
	var d net.Dialer
	if to.Host {
		return d.DialContext(ctx, network, to.Addr.String())
	}
	ns, err := c.sockets.UDP.NetNS()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	failed := netns.Do(ns, func() error {
		conn, err = d.DialContext(ctx, network, to.Addr.String())
		return nil
	})
	if err := errors.Join(failed, err); err != nil {
		return nil, err
	}
	return conn, nil
}

// ask returns the answer of other servers to a question that is not the
// worker's any more.
func (s *Server) ask(c *client, r forward.Request) []byte {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done, ok := c.begin(cancel)
	if !ok {
		return r.Query.Code(nil, query.Refused)
	}
	defer done()
	return s.forward.Ask(ctx, nil, r)
}

// own returns the request with a copy of the message.
func own(r forward.Request) forward.Request {
	r.Query.Raw = slices.Clone(r.Query.Raw)
	return r
}
