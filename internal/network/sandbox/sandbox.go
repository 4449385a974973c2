// Package sandbox makes network namespaces with a link on the bridge, an
// address and a route inside, one after the other and ahead of need.
//
// A sandbox that no process ever entered goes with the descriptor that holds
// it, also in a crash; nothing is recycled.
package sandbox

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/sys/netns"
	"github.com/berth-containers/berth/internal/sys/rtnl"
)

// Link is the name of a sandbox's link inside.
const Link = "eth0"

// Addresses is where a Maker takes addresses from.
type Addresses interface {
	Next() (netip.Addr, error)
	Free(netip.Addr)
	Offset(netip.Addr) uint32
}

// Sandbox is a namespace that is ready for a container.
type Sandbox struct {
	NS       *os.File
	Addr     netip.Addr
	HostLink string
}

// Maker makes sandboxes.
type Maker struct {
	Host      *rtnl.Conn // in the engine's namespace
	Bridge    string
	Index     int          // the bridge's
	Masters   func() []int // it and those beside it, those with room first
	Gateway   netip.Prefix
	Prefix    string // of the host links' names
	Addresses Addresses
}

// Make makes a sandbox with the next free address.
func (m *Maker) Make() (Sandbox, error) {
	// A link whose namespace is still being torn down keeps its name, and so
	// its address, from being used: go on to the next.
	for range 1000 {
		a, err := m.Addresses.Next()
		if err != nil {
			return Sandbox{}, err
		}
		s, err := m.MakeAt(a)
		if err == nil {
			return s, nil
		}
		m.Addresses.Free(a)
		if !errors.Is(err, syscall.EEXIST) {
			return Sandbox{}, err
		}
	}
	return Sandbox{}, errdefs.ErrResourceExhausted.WithMessage("no free address whose old link is gone")
}

// MakeAt makes a sandbox with the given address, which the caller has taken.
// It is syscall.EEXIST while the link of an earlier endpoint with that address
// exists.
func (m *Maker) MakeAt(a netip.Addr) (Sandbox, error) {
	s := Sandbox{Addr: a, HostLink: m.HostLink(a)}
	ns, err := netns.New(func(ns *os.File) error { return m.furnish(ns, s) })
	if errors.Is(err, syscall.EXFULL) {
		return Sandbox{}, Full(m.Bridge)
	}
	if err != nil {
		return Sandbox{}, fmt.Errorf("make sandbox %s: %w", a, err)
	}
	s.NS = ns
	return s, nil
}

// HostLink is the name of the link for an address: two links can never have
// the same.
func (m *Maker) HostLink(a netip.Addr) string {
	return fmt.Sprintf("%s%05x", m.Prefix, m.Addresses.Offset(a))
}

// furnish runs on a thread inside ns.
func (m *Maker) furnish(ns *os.File, s Sandbox) error {
	inside, err := rtnl.Dial()
	if err != nil {
		return err
	}
	defer inside.Close()
	if err := prepare(inside); err != nil {
		return err
	}
	plug := Plug{HostLink: s.HostLink, Masters: m.Masters(), Link: Link, MAC: bridge.MAC(s.Addr),
		Addresses: []netip.Prefix{netip.PrefixFrom(s.Addr, m.Gateway.Bits())},
		Gateways:  []netip.Addr{m.Gateway.Addr()}, GatewayMAC: bridge.MAC(m.Gateway.Addr()), Routes: []netip.Addr{m.Gateway.Addr()}}
	if err := insert(m.Host, inside, ns, plug); err != nil {
		return err
	}
	// The first port gives the bridge its carrier.
	return m.Host.Do(rtnl.Settle(s.HostLink), rtnl.Settle(m.Bridge), rtnl.SetNeighbour(m.Index, s.Addr, plug.MAC))
}
