package network

import (
	"context"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/publish"
)

// Republish changes the published ports of a container that runs, and returns its
// places with them. What stays published is not touched; connections to a port
// that goes last until they end, flows of UDP end with it.
func (n *Network) Republish(ctx context.Context, containerID string, want []container.Port) (Places, error) {
	if err := ctx.Err(); err != nil {
		return Places{}, err
	}
	now := n.of(containerID)
	if len(now) == 0 {
		return Places{}, errdefs.ErrNotFound.WithMessage("the container is not in a network any more")
	}
	t := taking{n: n.core, places: slices.Clone(now), request: Request{ContainerID: containerID}}
	var wanted []container.Port
	for _, w := range want {
		if w.HostIP.IsValid() {
			wanted = append(wanted, w)
			continue
		}
		for _, w.HostIP = range t.everywhere(gateways(now)) {
			wanted = append(wanted, w)
		}
	}
	change := publish.Compare(n.ports.Held(containerID), wanted)
	held, err := n.ports.Extend(containerID, change.New)
	if err != nil {
		return Places{}, err
	}
	t.assign(slices.Concat(change.Kept, held))
	before, after := mappings(now...), mappings(t.places...)
	added := slices.DeleteFunc(slices.Clone(after), func(m publish.Mapping) bool { return slices.Contains(before, m) })
	gone := slices.DeleteFunc(before, func(m publish.Mapping) bool { return slices.Contains(after, m) })
	n.keep(t.places)
	if err := n.change(n.table.Add, added); err != nil {
		n.keep(now)
		n.ports.Shrink(containerID, held)
		return Places{}, err
	}
	n.flows.Published(added)
	err = n.change(n.table.Remove, gone)
	n.flows.Removed(slices.DeleteFunc(gone, func(m publish.Mapping) bool { return m.Proto != "udp" }))
	n.ports.Shrink(containerID, change.Gone)
	return n.show(t.places), err
}

// keep makes places what they are; their container's owner lets nobody release
// them meanwhile.
func (n *core) keep(places []place) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range places {
		n.live[p.ID] = p
	}
}
