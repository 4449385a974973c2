package network

import (
	"context"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/publish"
)

// Republish changes the published ports of an endpoint that lives, and returns it
// with them. What stays published is not touched; connections to a port that goes
// last until they end, flows of UDP end with it.
func (n *Network) Republish(ctx context.Context, ep container.Endpoint, want []container.Port) (container.Endpoint, error) {
	if err := ctx.Err(); err != nil {
		return ep, err
	}
	n.mu.Lock()
	now, there := n.live[ep.ID]
	n.mu.Unlock()
	if !there {
		return ep, errdefs.ErrNotFound.WithMessage("the container is not in the network any more")
	}
	change := publish.Compare(now.Ports, want)
	held, err := n.ports.Extend(ep.ID, ep.ContainerID, change.New)
	if err != nil {
		return ep, err
	}
	next, added, gone := now, now, now
	next.Ports, added.Ports, gone.Ports = slices.Concat(change.Kept, held), held, change.Gone
	n.keep(next)
	if err := n.change(n.table.Add, mappings(added)); err != nil {
		n.keep(now)
		n.ports.Shrink(ep.ID, held)
		return ep, err
	}
	n.flows.Published(mappings(added))
	err = n.change(n.table.Remove, mappings(gone))
	n.flows.Removed(slices.DeleteFunc(mappings(gone), func(m publish.Mapping) bool { return m.Proto != "udp" }))
	n.ports.Shrink(ep.ID, change.Gone)
	return next, err
}

// keep makes ep what an endpoint is; its container's owner lets nobody release it
// meanwhile.
func (n *Network) keep(ep container.Endpoint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.live[ep.ID] = ep
}
