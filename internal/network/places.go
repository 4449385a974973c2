package network

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/directory"
	"github.com/berth-containers/berth/internal/network/publish"
	"github.com/berth-containers/berth/internal/network/sandbox"
	"github.com/berth-containers/berth/internal/sys/rtnl"
	"github.com/berth-containers/berth/internal/undo"
)

// gateways chooses the places whose networks the default routes lead through,
// -1 if there is none: by priority, then by the network's name.
func gateways(places []place) (four, six int) {
	four, six = -1, -1
	better := func(i, than int) bool {
		if than < 0 {
			return true
		}
		a, b := places[i], places[than]
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.segment.def.Name, b.segment.def.Name)) < 0
	}
	for i, p := range places {
		if p.segment.set.Internal {
			continue
		}
		if p.segment.v4 != nil && better(i, four) {
			four = i
		}
		if p.segment.v6 != nil && better(i, six) {
			six = i
		}
	}
	return four, six
}

func routes(places []place, four, six int) []sandbox.Route {
	var all []sandbox.Route
	if four >= 0 {
		all = append(all, sandbox.Route{Link: places[four].Link, Gateway: places[four].Gateway})
	}
	if six >= 0 {
		all = append(all, sandbox.Route{Link: places[six].Link, Gateway: places[six].Gateway6})
	}
	return all
}

func (n *core) show(places []place) Places {
	shown := Places{Endpoints: make([]container.Endpoint, 0, len(places)), Named: n.resolver != nil && named(places)}
	for _, p := range places {
		shown.Endpoints = append(shown.Endpoints, p.Endpoint)
	}
	return shown
}

// answer has the Resolver serve a container that is in a network with names.
func (t *taking) answer(back *undo.Stack) error {
	if !named(t.places) {
		return nil
	}
	id := t.request.ContainerID
	t.n.mu.Lock()
	before, served := t.n.clients[id]
	t.n.clients[id] = t.request.Client
	t.n.mu.Unlock()
	back.Add(func(context.Context) error {
		if !served {
			t.n.forget(id)
			return nil
		}
		// It goes on to ask for the names of the networks that it was in.
		t.n.mu.Lock()
		t.n.clients[id] = before
		t.n.mu.Unlock()
		return t.n.serve(t.ns, id)
	})
	return t.n.serve(t.ns, id)
}

func named(places []place) bool {
	return slices.ContainsFunc(places, func(p place) bool { return p.segment.userDefined() })
}

func (n *core) serve(ns *os.File, containerID string) error {
	if n.resolver == nil {
		return nil
	}
	n.mu.Lock()
	c := n.clients[containerID]
	n.mu.Unlock()
	c.ContainerID = containerID
	return n.resolver.Serve(ns, c)
}

func (n *core) forget(containerID string) {
	n.mu.Lock()
	_, served := n.clients[containerID]
	delete(n.clients, containerID)
	n.mu.Unlock()
	if served && n.resolver != nil {
		n.resolver.Forget(containerID)
	}
}

// publish makes places known: their ports to the kernel, their names to the
// Directory.
func (n *core) publish(places []place) error {
	n.keep(places)
	m := mappings(places...)
	if err := n.change(n.table.Add, m); err != nil {
		n.mu.Lock()
		for _, p := range places {
			delete(n.live, p.ID)
		}
		n.mu.Unlock()
		return err
	}
	n.flows.Published(m)
	if named(places) { // in the default network nobody has a name
		n.tell(places[0].ContainerID)
	}
	return nil
}

// tell has the Directory know what the container is called now.
func (n *core) tell(containerID string) {
	places := n.of(containerID)
	if !named(places) {
		n.names.Set(containerID, nil)
		return
	}
	if four, _ := gateways(places); four > 0 {
		places[0], places[four] = places[four], places[0]
	}
	var known []directory.Endpoint
	for _, p := range places {
		if !p.segment.userDefined() {
			continue
		}
		e := directory.Endpoint{NetworkID: p.NetworkID, NetworkName: p.segment.def.Name, Names: p.Names, Links: p.Links, Internal: p.segment.set.Internal}
		for _, a := range addresses(p.Endpoint) {
			e.Addrs = append(e.Addrs, a.Addr())
		}
		known = append(known, e)
	}
	n.names.Set(containerID, known)
}

// of is the container's places, in the order of their links.
func (n *core) of(containerID string) []place {
	n.mu.Lock()
	defer n.mu.Unlock()
	var places []place
	for _, p := range n.live {
		if p.ContainerID == containerID {
			places = append(places, p)
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(len(a.Link), len(b.Link)), cmp.Compare(a.Link, b.Link))
	})
	return places
}

// Release takes a container's places away: its ports, its addresses and, soon
// after, its links. One that has none is no error.
func (n *Network) Release(_ context.Context, containerID string) error {
	places := n.of(containerID)
	n.mu.Lock()
	for _, p := range places {
		delete(n.live, p.ID)
	}
	n.mu.Unlock()
	if named(places) {
		n.names.Set(containerID, nil)
		n.forget(containerID)
	}
	m := mappings(places...)
	err := n.change(n.table.Remove, m)
	n.flows.Removed(m)
	n.ports.Release(containerID)
	for _, p := range places {
		n.vacate(p)
	}
	return err
}

// vacate gives a place back. Its link goes with the sandbox, or soon after.
func (n *core) vacate(p place) {
	if link, err := n.host.Index(p.HostLink); err == nil {
		p.segment.left(p.Endpoint)
		n.sweep.after(link, grace, func() { p.segment.forget(p.Endpoint) })
	}
	for _, a := range addresses(p.Endpoint) {
		// The entry is of no use now; that it is gone already is no error.
		_ = n.host.Do(rtnl.DropNeighbour(p.segment.first(), a.Addr()))
	}
	p.segment.free(p.Endpoint)
	n.leave(p.segment)
}

// change changes the table. If somebody else did before, for example a firewall
// that was loaded anew, what ought to be there is written as a whole.
func (n *core) change(do func([]publish.Mapping) error, m []publish.Mapping) error {
	err := do(m)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EEXIST) {
		return n.table.Set(n.desired)
	}
	return err
}

// desired is the rules for all that live.
func (n *core) desired() publish.State {
	n.mu.Lock()
	defer n.mu.Unlock()
	var s publish.State
	for _, seg := range n.segments {
		s.Bridges = append(s.Bridges, seg.rules())
	}
	for _, p := range n.live {
		s.Mappings = append(s.Mappings, mappings(p)...)
	}
	return s
}

func mappings(places ...place) []publish.Mapping {
	var m []publish.Mapping
	for _, e := range places {
		for _, p := range e.Ports {
			to := e.IP.Addr()
			if p.HostIP.Is6() {
				to = e.IP6.Addr()
			}
			m = append(m, publish.Mapping{Proto: p.Proto, HostIP: p.HostIP, HostPort: p.HostPort, To: netip.AddrPortFrom(to, p.ContainerPort)})
		}
	}
	return m
}
