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
func (n *Network) Restore(ctx context.Context, endpoints []container.Endpoint) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, ep := range endpoints {
		keep[ep.HostLink] = true
		n.adopt(ep)
	}
	if err := n.table.Set(n.desired); err != nil {
		return err
	}
	n.mu.Lock()
	first := n.pool == nil
	n.mu.Unlock()
	if first { // later on, links of sandboxes that are made ahead are ours too
		if err := n.restoreLinks(keep); err != nil {
			return err
		}
	}
	_, err := n.start()
	return err
}

func (n *Network) adopt(ep container.Endpoint) {
	n.mu.Lock()
	_, known := n.live[ep.ID]
	n.mu.Unlock()
	if known {
		return
	}
	if !n.addrs.Claim(ep.IP.Addr()) {
		// It has no place in this network, and must not free another's.
		n.log.Warn("running container is left without network: its address is not free",
			"container", ep.ContainerID, "address", ep.IP, "subnet", n.addrs.Subnet())
		return
	}
	ports, err := n.ports.Adopt(ep.ID, ep.ContainerID, ep.Ports)
	if err != nil { // the mapping of one that a program took stays: it works
		n.log.Warn("published port of a running container is not held", "container", ep.ContainerID, "error", err)
	}
	ep.Ports = ports
	n.mu.Lock()
	n.live[ep.ID] = ep
	n.mu.Unlock()
}

// restoreLinks puts the links of the living back on the bridge, where somebody
// took them off, and has all others of ours taken away.
func (n *Network) restoreLinks(keep map[string]bool) error {
	links, err := bridge.Links()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range links {
		name := l.Attrs().Name
		switch {
		case !strings.HasPrefix(name, n.maker.Prefix):
		case !keep[name]:
			n.sweep.after(l.Attrs().Index, 0)
		case l.Attrs().MasterIndex != n.maker.Index:
			if err := netlink.LinkSetMasterByIndex(l, n.maker.Index); err != nil {
				errs = append(errs, fmt.Errorf("put link %s back on bridge %s: %w", name, n.bridge, err))
			}
		}
	}
	return errors.Join(errs...)
}

// Close gives up what is held. Bridge and table stay as long as an endpoint
// lives, so that its container runs on; otherwise nothing is left.
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
		errs = append(errs, n.table.Delete(), n.removeLinks(ctx), bridge.Remove(n.bridge))
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

// links are the engine's links besides the bridge.
func (n *Network) links() (map[string]bool, error) {
	all, err := bridge.Links()
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, l := range all {
		if name := l.Attrs().Name; strings.HasPrefix(name, n.maker.Prefix) {
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
