package network

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/bridge"
)

// closeWait bounds how long Close waits for the kernel to tear links down.
const closeWait = 5 * time.Second

// Restore makes the endpoints that live on after a start of the engine the only
// ones: their addresses, ports and links are kept, or made good, and every
// other link and mapping of ours goes. It comes before the first Take.
func (n *Network) Restore(ctx context.Context, living []Live) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	keep := map[string]*segment{}
	for _, l := range living {
		for _, ep := range l.Endpoints {
			keep[ep.HostLink] = n.adopt(ep)
		}
	}
	n.mu.Lock()
	first := n.pool == nil
	n.mu.Unlock()
	var b broken
	if first { // later on, links of sandboxes that are made ahead are ours too
		var err error
		if b, err = n.restoreLinks(living, keep); err != nil {
			return err
		}
	}
	if err := n.table.Set(n.desired); err != nil {
		return err
	}
	for _, l := range living {
		if err := n.mend(l, b); err != nil {
			n.log.Warn("running container is not in its networks as it was", "container", l.ContainerID, "error", err)
		}
		n.restoreNames(l)
	}
	_, err := n.start()
	return err
}

// adopt takes an endpoint over and returns its segment; nil if it has none.
func (n *Network) adopt(ep container.Endpoint) *segment {
	n.mu.Lock()
	known, there := n.live[ep.ID]
	s := n.segments[ep.NetworkID]
	n.mu.Unlock()
	if there {
		return known.segment
	}
	if s == nil || !s.claim(ep) {
		// It has no place in this network, and must not free another's.
		n.log.Warn("running container is left without network: its network is gone, or its address is not free",
			"container", ep.ContainerID, "network", ep.NetworkID, "address", ep.IP)
		return nil
	}
	ports, err := n.ports.Adopt(ep.ContainerID, ep.Ports)
	if err != nil { // the mapping of one that a program took stays: it works
		n.log.Warn("published port of a running container is not held", "container", ep.ContainerID, "error", err)
	}
	ep.Ports = ports
	n.mu.Lock()
	defer n.mu.Unlock()
	n.live[ep.ID] = place{ep, s}
	s.members++
	return s
}

// restoreNames has the names of a container answered again.
func (n *Network) restoreNames(l Live) {
	n.tell(l.ContainerID)
	if !named(n.of(l.ContainerID)) || l.NetNS == "" {
		return
	}
	n.mu.Lock()
	n.clients[l.ContainerID] = l.Client
	n.mu.Unlock()
	ns, err := openSandbox(l.NetNS, l.ContainerID)
	if err == nil {
		err = errors.Join(n.serve(ns, l.ContainerID), ns.Close())
	}
	if err != nil {
		n.log.Warn("names are not answered in a running container", "container", l.ContainerID, "error", err)
	}
}

// restoreLinks finds the bridges that were put beside others, puts the links of
// the living back on a bridge, where somebody took them off, and has all others
// of ours taken away.
func (n *Network) restoreLinks(living []Live, keep map[string]*segment) (broken, error) {
	b, there := broken{missing: map[string]bool{}}, map[string]bool{}
	links, err := bridge.Links()
	if err != nil {
		return b, err
	}
	errs := []error{n.restoreShards(links)}
	for _, l := range links {
		name := l.Attrs().Name
		s, kept := keep[name]
		there[name] = true
		switch {
		case !n.ours(name):
		case !kept:
			b.strayed = b.strayed || l.Attrs().ParentIndex > firstInside
			n.sweep.after(l.Attrs().Index, 0, func() {})
		case s != nil && !s.has(l.Attrs().MasterIndex):
			if err := bridge.Rejoin(name, s.first()); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for _, l := range living {
		for _, ep := range l.Endpoints {
			b.missing[ep.ID] = keep[ep.HostLink] != nil && !there[ep.HostLink]
		}
	}
	return b, errors.Join(errs...)
}

// firstInside is the index of the first link that a sandbox gets, after lo.
const firstInside = 2

// restoreShards has each segment know the bridges beside its first, in any
// order of their making; those of a network that is gone go.
func (n *Network) restoreShards(links []netlink.Link) error {
	byName, owners := map[string]netlink.Link{}, map[int]*segment{}
	for _, l := range links {
		byName[l.Attrs().Name] = l
	}
	for _, s := range n.all() {
		owners[s.first()] = s
	}
	for found := true; found; {
		found = false
		for name, l := range byName {
			id, ok := n.shardOf(name)
			near := byName["bt"+n.instance+id]
			if !ok || near == nil || owners[near.Attrs().MasterIndex] == nil {
				continue
			}
			s := owners[near.Attrs().MasterIndex]
			s.shards = append(s.shards, joined{l.Attrs().Index, name})
			owners[l.Attrs().Index] = s
			delete(byName, name)
			found = true
		}
	}
	var errs []error
	for name := range byName {
		if _, ok := n.shardOf(name); ok {
			errs = append(errs, bridge.Remove(name))
		}
		if strings.HasPrefix(name, "bt"+n.instance) && byName[name].Attrs().MasterIndex == 0 {
			errs = append(errs, bridge.Remove(name))
		}
	}
	return errors.Join(errs...)
}

// Close gives up what is held. Bridges and table stay as long as an endpoint
// lives, so that its container runs on; otherwise only the networks' files are
// left.
func (n *Network) Close(ctx context.Context) error {
	n.mu.Lock()
	pool, done := n.pool, n.closed
	n.closed = true
	lives := len(n.live) > 0
	n.mu.Unlock()
	if done {
		return nil
	}
	if pool != nil {
		pool.Close()
	}
	var errs []error
	if !lives {
		errs = append(errs, n.table.Delete(), n.removeLinks(ctx))
		for _, s := range n.all() {
			errs = append(errs, n.removeBridges(s))
		}
	}
	return errors.Join(append(errs, n.disconnect())...)
}

// removeLinks waits until the links of sandboxes are gone with their
// namespaces, and takes away those that stay.
func (n *Network) removeLinks(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeWait)
	defer cancel()
	for {
		left, err := n.awaitGone(ctx)
		if err != nil || len(left) == 0 {
			return err
		}
		if ctx.Err() != nil {
			return removeAll(left)
		}
	}
}

// awaitGone returns the links that are left when all are gone, when ctx ends or
// when the kernel had more to tell than fits its buffer.
func (n *Network) awaitGone(ctx context.Context) (map[string]bool, error) {
	changes, stop := make(chan netlink.LinkUpdate), make(chan struct{})
	if err := netlink.LinkSubscribe(changes, stop); err != nil {
		return nil, fmt.Errorf("watch links: %w", err)
	}
	defer func() {
		close(stop)
		for range changes { // until the sender has seen it
		}
	}()
	left, err := n.links()
	for err == nil && len(left) > 0 {
		select {
		case c, ok := <-changes:
			if !ok {
				return left, nil
			}
			if c.Header.Type == syscall.RTM_DELLINK {
				delete(left, c.Attrs().Name)
			}
		case <-ctx.Done():
			return left, nil
		}
	}
	return left, err
}

// links are the engine's links besides the bridges'.
func (n *Network) links() (map[string]bool, error) {
	all, err := bridge.Links()
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, l := range all {
		if name := l.Attrs().Name; n.ours(name) {
			names[name] = true
		}
	}
	return names, nil
}

func removeAll(links map[string]bool) error {
	var errs []error
	for name := range links {
		errs = append(errs, bridge.Remove(name))
	}
	return errors.Join(errs...)
}
