package engine

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	mobynet "github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network"
	"github.com/berth-containers/berth/internal/network/definition"
)

type fakeNetworks struct{ *world }

func (n fakeNetworks) Restore(_ context.Context, living []network.Live) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.endpoints = map[string]container.Endpoint{}
	for _, l := range living {
		for _, e := range l.Endpoints {
			n.endpoints[e.ID] = e
		}
	}
	return nil
}

func (n fakeNetworks) Take(_ context.Context, r network.Request) (Sandbox, error) {
	if err := n.step("network.Take"); err != nil {
		return Sandbox{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := Sandbox{NetNS: "/ns", Close: func() error { return nil }}
	for i, j := range r.Joins {
		e := n.join(r, j)
		if i == 0 {
			for _, p := range r.Ports {
				p.HostIP = netip.IPv4Unspecified()
				e.Ports = append(e.Ports, p)
			}
		}
		n.endpoints[e.ID] = e
		s.Endpoints = append(s.Endpoints, e)
	}
	return s, nil
}

func (n fakeNetworks) join(r network.Request, j network.Join) container.Endpoint {
	n.nextPid++
	return container.Endpoint{ID: fmt.Sprintf("e%d", n.nextPid), ContainerID: r.ContainerID, NetworkID: j.NetworkID, IP: netip.MustParsePrefix("172.30.0.5/16"),
		Gateway: netip.MustParseAddr("172.30.0.1"), MAC: "02:42:ac:1e:00:05", Names: j.Names}
}

func (n fakeNetworks) of(containerID string) (p network.Places) {
	for _, e := range n.endpoints {
		if e.ContainerID == containerID {
			p.Endpoints = append(p.Endpoints, e)
		}
	}
	return p
}

func (n fakeNetworks) Release(_ context.Context, containerID string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.of(containerID).Endpoints {
		delete(n.endpoints, e.ID)
	}
	return nil
}

func (n fakeNetworks) Connect(_ context.Context, _ string, r network.Request) (network.Places, error) {
	if err := n.step("network.Connect"); err != nil {
		return network.Places{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.join(r, r.Joins[0])
	n.endpoints[e.ID], n.client = e, r.Client
	return n.of(r.ContainerID), nil
}

func (n fakeNetworks) Disconnect(_ context.Context, _, containerID, networkID string) (network.Places, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.of(containerID).Endpoints {
		if e.NetworkID == networkID {
			delete(n.endpoints, e.ID)
			return n.of(containerID), nil
		}
	}
	return n.of(containerID), errdefs.ErrNotFound.WithMessage("it is not connected")
}

func (n fakeNetworks) Networks() []mobynet.Network {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := slices.Clone(n.networks)
	for _, name := range []string{"bridge", "host", "none"} {
		all = append(all, definition.Builtin("test", name, time.Unix(0, 0)))
	}
	return all
}

func (n fakeNetworks) Create(_ context.Context, q mobynet.CreateRequest) (mobynet.Network, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	made, err := definition.New(q)
	if err == nil {
		err = definition.Complete(&made, definition.BuiltinID("test", q.Name), "test", nil, nil)
		n.networks = append(n.networks, made)
	}
	return made, err
}

func (n fakeNetworks) Remove(_ context.Context, id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.networks = slices.DeleteFunc(n.networks, func(o mobynet.Network) bool { return o.ID == id })
	return nil
}

func (n fakeNetworks) Rename(containerID string, names map[string][]string) []container.Endpoint {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.of(containerID).Endpoints {
		e.Names = names[e.NetworkID]
		n.endpoints[e.ID] = e
	}
	return n.of(containerID).Endpoints
}

func (fakeNetworks) Status(string) *mobynet.Status { return &mobynet.Status{} }
func (fakeNetworks) Gateway() netip.Prefix         { return netip.MustParsePrefix("172.30.0.1/16") }

// loseNetwork takes a network away with the places in it, as a file that cannot be
// read any more does.
func (w *world) loseNetwork(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.networks {
		if n.Name == name {
			maps.DeleteFunc(w.endpoints, func(_ string, e container.Endpoint) bool { return e.NetworkID == n.ID })
		}
	}
	w.networks = slices.DeleteFunc(w.networks, func(n mobynet.Network) bool { return n.Name == name })
}
