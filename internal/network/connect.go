package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/network/sandbox"
	"github.com/berth-containers/berth/internal/undo"
)

// Connect puts a running container, whose sandbox is at path, into one more
// network, and returns all its places: its published ports and its default
// route may have moved. The caller has no other change of the container going.
func (n *Network) Connect(ctx context.Context, path string, r Request) (_ Places, err error) {
	ns, err := openSandbox(path, r.ContainerID)
	if err != nil {
		return Places{}, err
	}
	defer ns.Close()
	before := n.of(r.ContainerID)
	for _, p := range before {
		if p.NetworkID == r.Joins[0].NetworkID {
			return Places{}, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("endpoint with name %s already exists in network %s", r.ContainerID[:12], p.segment.def.Name))
		}
	}
	var back undo.Stack
	defer back.OnError(ctx, &err)
	t := taking{n: n.core, request: r, ns: ns}
	if err := t.enter(&back); err != nil {
		return Places{}, err
	}
	p := &t.places[0]
	if p.Link == "" {
		if p.Link, err = freeLink(ns, p.segment.set.LinkPrefix); err != nil {
			return Places{}, err
		}
	}
	if err := n.plug(ns, p, r.Joins[0], false, false, &back); err != nil {
		return Places{}, err
	}
	if err := t.answer(&back); err != nil {
		return Places{}, err
	}
	after := append(slices.Clone(before), *p)
	if len(n.ports.Held(r.ContainerID)) == 0 {
		if err := (&taking{n: n.core, request: r, places: after}).reserve(&back); err != nil {
			return Places{}, err
		}
	}
	back.Add(func(context.Context) error { return n.rearrange(ns, after, before) })
	if err := n.rearrange(ns, before, after); err != nil {
		return Places{}, err
	}
	return n.show(n.of(r.ContainerID)), nil
}

func openSandbox(path, containerID string) (*os.File, error) {
	ns, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errdefs.ErrConflict.WithMessage("container " + containerID + " is not running")
	}
	return ns, err
}

// freeLink is the first name for a link that is not in use inside.
func freeLink(ns *os.File, prefix string) (string, error) {
	there, err := sandbox.Links(ns)
	if err != nil {
		return "", err
	}
	for i := 0; ; i++ {
		if name := fmt.Sprintf("%s%d", prefix, i); !slices.Contains(there, name) {
			return name, nil
		}
	}
}

// Disconnect takes a running container out of a network and returns the places
// that are left to it, also with NotFound: that it is not in the network. Once its
// link is gone it has left; what does not follow is in the log.
func (n *Network) Disconnect(_ context.Context, path, containerID, networkID string) (Places, error) {
	before := n.of(containerID)
	i := slices.IndexFunc(before, func(p place) bool { return p.NetworkID == networkID })
	if i < 0 {
		return n.show(before), errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %s is not connected to network %s", containerID, networkID))
	}
	ns, err := openSandbox(path, containerID)
	if err != nil {
		return Places{}, err
	}
	defer ns.Close()
	gone := before[i]
	if err := bridge.Remove(gone.HostLink); err != nil {
		return Places{}, err
	}
	after := slices.Delete(slices.Clone(before), i, i+1)
	if err := n.rearrange(ns, before, after); err != nil {
		n.log.Warn("running container is not in its networks as it ought to be", "container", containerID, "error", err)
	}
	n.vacate(gone)
	if !named(after) {
		n.forget(containerID)
	}
	return n.show(n.of(containerID)), nil
}

// rearrange makes after the container's places: the default routes and the
// published ports follow the networks' order of precedence. The places are those
// even if one of them could not follow.
func (n *Network) rearrange(ns *os.File, before, after []place) error {
	if len(before)+len(after) == 0 {
		return nil
	}
	id := append(slices.Clone(before), after...)[0].ContainerID
	t := taking{n: n.core, places: after}
	t.assign(n.ports.Held(id))
	four, six := gateways(after)
	// What leaves them as they are leaves alone what a program inside has made of them.
	wasFour, wasSix := gateways(before)
	var errs []error
	if !slices.Equal(routes(before, wasFour, wasSix), routes(after, four, six)) {
		if err := sandbox.SetRoutes(ns, routes(after, four, six)...); err != nil {
			errs = append(errs, fmt.Errorf("set the container's default route: %w", err))
		}
	}
	old, now := mappings(before...), mappings(after...)
	n.mu.Lock()
	for _, p := range before {
		delete(n.live, p.ID)
	}
	for _, p := range after {
		n.live[p.ID] = p
	}
	n.mu.Unlock()
	if !slices.Equal(old, now) {
		errs = append(errs, n.change(n.table.Remove, old), n.change(n.table.Add, now))
		n.flows.Removed(old)
		n.flows.Published(now)
	}
	n.tell(id)
	return errors.Join(errs...)
}

// Rename gives a running container other names in its networks, by network ID.
func (n *Network) Rename(containerID string, names map[string][]string) []container.Endpoint {
	places := n.of(containerID)
	n.mu.Lock()
	for i, p := range places {
		if of, ok := names[p.NetworkID]; ok {
			p.Names = of
			n.live[p.ID], places[i] = p, p
		}
	}
	n.mu.Unlock()
	n.tell(containerID)
	return n.show(places).Endpoints
}
