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

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/network/sandbox"
	"github.com/berth-containers/berth/internal/undo"
)

// Take returns a sandbox for a container with its ports published. A port in
// use is AlreadyExists and names who has it; a network that is not there is
// NotFound.
func (n *Network) Take(ctx context.Context, r Request) (_ *Sandbox, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	pool, err := n.start()
	if err != nil {
		return nil, err
	}
	var back undo.Stack
	defer back.OnError(ctx, &err)
	t := taking{n: n.core, request: r}
	if err := t.enter(&back); err != nil {
		return nil, err
	}
	if err := t.reserve(&back); err != nil {
		return nil, err
	}
	if err := t.furnish(pool, &back); err != nil {
		return nil, fmt.Errorf("make network of container: %w", err)
	}
	if err := t.answer(&back); err != nil {
		return nil, err
	}
	if err := n.publish(t.places); err != nil {
		return nil, err
	}
	return &Sandbox{
		NetNS:   fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), t.ns.Fd()),
		Places:  n.show(t.places),
		release: t.ns.Close,
	}, nil
}

// Close gives up the engine's hold of the namespace; the endpoints stay until
// Release.
func (s *Sandbox) Close() error {
	err := s.release()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// taking is a sandbox in the making.
type taking struct {
	n       *core
	request Request
	places  []place
	ns      *os.File
}

// enter counts the container among the members of its networks.
func (t *taking) enter(back *undo.Stack) error {
	for _, j := range t.request.Joins {
		s, err := t.n.enter(j.NetworkID)
		if err != nil {
			return err
		}
		back.Add(func(context.Context) error { t.n.leave(s); return nil })
		t.places = append(t.places, place{segment: s, Endpoint: container.Endpoint{
			ID: newID(), ContainerID: t.request.ContainerID, NetworkID: j.NetworkID, Link: j.Link,
			Priority: j.Priority, Names: j.Names, Links: j.Links}})
	}
	return nil
}

func (n *core) enter(id string) (*segment, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.segments[id]
	if s == nil || s.gone {
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", id))
	}
	s.members++
	return s, nil
}

func (n *core) leave(s *segment) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s.members--
}

// reserve holds the ports for the places that they will lead to. In internal
// networks none leads anywhere.
func (t *taking) reserve(back *undo.Stack) error {
	four, six := gateways(t.places)
	var wanted []container.Port
	for _, p := range t.request.Ports {
		switch ip := p.HostIP.Unmap(); {
		case four < 0 && six < 0:
		case ip.Is4() && four < 0 || ip.Is6() && six < 0:
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("-p %s:%d: the container has no network that this address could lead to",
				netip.AddrPortFrom(ip, p.HostPort), p.ContainerPort))
		default:
			wanted = append(wanted, p)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	held, err := t.n.ports.Reserve(t.request.ContainerID, wanted, t.everywhere(four, six))
	if err != nil {
		return err
	}
	back.Add(func(context.Context) error { t.n.ports.Release(t.request.ContainerID); return nil })
	t.assign(held)
	return nil
}

// everywhere are the host's addresses for a port that names none.
func (t *taking) everywhere(four, six int) []netip.Addr {
	var all []netip.Addr
	for _, i := range []int{four, six} {
		if i < 0 {
			continue
		}
		if host := t.places[i].segment.set.HostIP; host.IsValid() {
			return []netip.Addr{host}
		}
	}
	if four >= 0 {
		all = append(all, netip.IPv4Unspecified())
	}
	if six >= 0 {
		all = append(all, netip.IPv6Unspecified())
	}
	return all
}

// assign gives ports that are held to the places that lead out. One that leads
// nowhere now stays held, for the next network.
func (t *taking) assign(held []container.Port) {
	four, six := gateways(t.places)
	for i := range t.places {
		t.places[i].Ports = nil
	}
	for _, p := range held {
		to := four
		if p.HostIP.Is6() {
			to = six
		}
		if to >= 0 {
			t.places[to].Ports = append(t.places[to].Ports, p)
		}
	}
}

// furnish makes the sandbox with all its links; one that is ready serves if the
// first is in the default network and asks for nothing.
func (t *taking) furnish(pool *sandbox.Pool, back *undo.Stack) (err error) {
	four, six := gateways(t.places)
	first := 0
	if len(t.places) > 0 && t.ready(0) {
		if err := t.fromPool(pool, back); err != nil {
			return err
		}
		first = 1
	} else if t.ns, err = sandbox.Empty(); err != nil {
		return err
	} else {
		back.Add(func(context.Context) error { return t.ns.Close() })
	}
	for i := first; i < len(t.places); i++ {
		p := &t.places[i]
		if p.Link == "" {
			p.Link = fmt.Sprintf("%s%d", p.segment.set.LinkPrefix, i)
		}
		if err := t.n.plug(t.ns, p, t.request.Joins[i], first == 0 && i == four, first == 0 && i == six, back); err != nil {
			return err
		}
	}
	if first == 1 && (four != 0 || six >= 0) {
		return sandbox.SetRoutes(t.ns, routes(t.places, four, six)...)
	}
	return nil
}

// ready is whether a sandbox of the pool has what the place asks for.
func (t *taking) ready(i int) bool {
	j := t.request.Joins[i]
	return t.places[i].segment.maker != nil && j.MAC == nil && len(j.LinkLocal) == 0 && (j.Link == "" || j.Link == sandbox.Link)
}

func (t *taking) fromPool(pool *sandbox.Pool, back *undo.Stack) error {
	var prefer netip.Addr
	if before := t.request.Joins[0].Before; before != nil {
		prefer = before.IP.Addr()
	}
	p := &t.places[0]
	if err := t.n.widen(p.segment); err != nil {
		return err
	}
	s, err := t.takeSandbox(pool, prefer)
	if err != nil {
		return err
	}
	t.ns = s.NS
	p.Link, p.HostLink, p.MAC = sandbox.Link, s.HostLink, bridge.MAC(s.Addr).String()
	p.IP, p.Gateway = netip.PrefixFrom(s.Addr, p.segment.set.V4.Prefix.Bits()), p.segment.set.V4.Gateway
	back.Add(func(context.Context) error { p.segment.free(p.Endpoint); return s.NS.Close() })
	return nil
}

func (t *taking) takeSandbox(pool *sandbox.Pool, prefer netip.Addr) (sandbox.Sandbox, error) {
	if prefer.IsValid() {
		if s, ok := pool.TakeAt(prefer); ok {
			return s, nil
		}
		if s, ok := t.makeAt(prefer); ok {
			return s, nil
		}
	}
	return pool.Take()
}

// makeAt makes a sandbox with an address that a container had before. The link
// of its last run may still be about to go: then it is taken away, which costs
// less than another address would surprise.
func (t *taking) makeAt(a netip.Addr) (sandbox.Sandbox, bool) {
	maker := t.n.standard.maker
	if !t.n.standard.v4.Claim(a) {
		return sandbox.Sandbox{}, false
	}
	s, err := maker.MakeAt(a)
	if errors.Is(err, syscall.EEXIST) {
		if err = bridge.Remove(maker.HostLink(a)); err == nil {
			s, err = maker.MakeAt(a)
		}
	}
	if err != nil {
		t.n.log.Info("container gets another address than before", "address", a, "error", err)
		t.n.standard.v4.Free(a)
		return sandbox.Sandbox{}, false
	}
	return s, true
}

func newID() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
