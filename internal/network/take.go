package network

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/network/publish"
	"github.com/berth-containers/berth/internal/network/sandbox"
)

// Take returns a sandbox for a container with its ports published. A port in
// use is AlreadyExists and names who has it.
func (n *Network) Take(ctx context.Context, r Request) (*Sandbox, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	pool, err := n.start()
	if err != nil {
		return nil, err
	}
	id := newID()
	ports, err := n.ports.Reserve(id, r.ContainerID, r.Ports)
	if err != nil {
		return nil, err
	}
	s, err := n.takeSandbox(pool, r.PreferIP)
	if err != nil {
		n.ports.Release(id)
		return nil, fmt.Errorf("make network of container: %w", err)
	}
	ep := container.Endpoint{
		ID: id, ContainerID: r.ContainerID, HostLink: s.HostLink, Ports: ports,
		IP:      netip.PrefixFrom(s.Addr, n.gateway.Bits()),
		Gateway: n.gateway.Addr(),
		MAC:     bridge.MAC(s.Addr).String(),
	}
	if err := n.publish(ep); err != nil {
		n.ports.Release(id)
		s.NS.Close()
		n.addrs.Free(s.Addr)
		return nil, err
	}
	return &Sandbox{
		NetNS:    fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.NS.Fd()),
		Endpoint: ep,
		release:  s.NS.Close,
	}, nil
}

// Close gives up the engine's hold of the namespace; the endpoint stays until
// Release.
func (s *Sandbox) Close() error {
	err := s.release()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func (n *Network) takeSandbox(pool *sandbox.Pool, prefer netip.Addr) (sandbox.Sandbox, error) {
	if prefer.IsValid() {
		if s, ok := pool.TakeAt(prefer); ok {
			return s, nil
		}
		if s, ok := n.makeAt(prefer); ok {
			return s, nil
		}
	}
	return pool.Take()
}

// makeAt makes a sandbox with an address that a container had before. The link
// of its last run may still be about to go: then it is taken away, which costs
// less than another address would surprise.
func (n *Network) makeAt(a netip.Addr) (sandbox.Sandbox, bool) {
	if !n.addrs.Claim(a) {
		return sandbox.Sandbox{}, false
	}
	s, err := n.maker.MakeAt(a)
	if errors.Is(err, syscall.EEXIST) {
		if err = bridge.Remove(n.maker.HostLink(a)); err == nil {
			s, err = n.maker.MakeAt(a)
		}
	}
	if err != nil {
		n.log.Info("container gets another address than before", "address", a, "error", err)
		n.addrs.Free(a)
		return sandbox.Sandbox{}, false
	}
	return s, true
}

func (n *Network) publish(ep container.Endpoint) error {
	n.mu.Lock()
	n.live[ep.ID] = ep
	n.mu.Unlock()
	m := mappings(ep)
	if err := n.change(n.table.Add, m); err != nil {
		n.mu.Lock()
		delete(n.live, ep.ID)
		n.mu.Unlock()
		return err
	}
	n.flows.Published(m)
	return nil
}

// Release takes an endpoint away: its ports, its address and, soon after, its
// link. An endpoint that is not there is no error.
func (n *Network) Release(_ context.Context, ep container.Endpoint) error {
	n.mu.Lock()
	ep, there := n.live[ep.ID]
	delete(n.live, ep.ID)
	n.mu.Unlock()
	if !there {
		return nil
	}
	m := mappings(ep)
	err := n.change(n.table.Remove, m)
	n.flows.Removed(m)
	n.ports.Release(ep.ID)
	if link, err := n.host.Index(ep.HostLink); err == nil {
		n.sweep.after(link, grace)
	}
	n.addrs.Free(ep.IP.Addr())
	return err
}

// change changes the table. If somebody else did before, for example a firewall
// that was loaded anew, what ought to be there is written as a whole.
func (n *Network) change(do func([]publish.Mapping) error, m []publish.Mapping) error {
	err := do(m)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EEXIST) {
		return n.table.Set(n.desired)
	}
	return err
}

// desired are the mappings of all that live.
func (n *Network) desired() []publish.Mapping {
	n.mu.Lock()
	defer n.mu.Unlock()
	var m []publish.Mapping
	for _, ep := range n.live {
		m = append(m, mappings(ep)...)
	}
	return m
}

func mappings(ep container.Endpoint) []publish.Mapping {
	m := make([]publish.Mapping, 0, len(ep.Ports))
	for _, p := range ep.Ports {
		m = append(m, publish.Mapping{
			Proto: p.Proto, HostIP: p.HostIP, HostPort: p.HostPort,
			To: netip.AddrPortFrom(ep.IP.Addr(), p.ContainerPort),
		})
	}
	return m
}

func newID() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
