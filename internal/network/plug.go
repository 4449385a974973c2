package network

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/network/sandbox"
	"github.com/berth-containers/berth/internal/sys/rtnl"
	"github.com/berth-containers/berth/internal/undo"
)

// plug allocates a place's addresses and makes its link in a sandbox, with the
// default routes of the given families.
func (n *core) plug(ns *os.File, p *place, j Join, four, six bool, back *undo.Stack) error {
	s := p.segment
	if err := s.allocate(j, &p.Endpoint); err != nil {
		return err
	}
	back.Add(func(context.Context) error { s.free(p.Endpoint); return nil })
	if err := errors.Join(s.evict(p.Endpoint), n.widen(s)); err != nil {
		return err
	}
	return n.link(ns, p, j, four, six, back)
}

// link makes the link of a place that has its addresses.
func (n *core) link(ns *os.File, p *place, j Join, four, six bool, back *undo.Stack) error {
	s := p.segment
	mac, err := hardware(j, p.Endpoint)
	if err != nil {
		return err
	}
	p.MAC = mac.String()
	in := sandbox.Plug{Masters: s.masters(), MTU: s.set.MTU, Isolated: !s.set.ICC, Link: p.Link, MAC: mac,
		Addresses: addresses(p.Endpoint), GatewayMAC: s.mac}
	for _, a := range j.LinkLocal {
		in.Addresses = append(in.Addresses, netip.PrefixFrom(a, map[bool]int{true: 16, false: 64}[a.Is4()]))
	}
	for _, f := range []netip.Addr{s.set.V4.Gateway, s.set.V6.Gateway} {
		if f.IsValid() {
			in.Gateways = append(in.Gateways, f)
		}
	}
	if four {
		in.Routes = append(in.Routes, p.Gateway)
	}
	if six {
		in.Routes = append(in.Routes, p.Gateway6)
	}
	if err := n.insert(ns, s, p, in); err != nil {
		return err
	}
	back.Add(func(context.Context) error { return bridge.Remove(p.HostLink) })
	changes := []rtnl.Change{rtnl.Settle(p.HostLink), rtnl.Settle(s.link)}
	for _, a := range addresses(p.Endpoint) {
		changes = append(changes, rtnl.SetNeighbour(s.first(), a.Addr(), mac))
	}
	return n.host.Do(changes...)
}

// hardware is the place's hardware address: the user's, or one made from its
// address.
func hardware(j Join, ep container.Endpoint) (net.HardwareAddr, error) {
	if j.MAC == nil {
		return bridge.MAC(addresses(ep)[0].Addr()), nil
	}
	if len(j.MAC) != 6 || j.MAC[0]&1 == 1 {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("MAC address %s is none of one host: it must have 6 bytes, the first of them even", j.MAC))
	}
	return j.MAC, nil
}

// insert makes the link under a name that is free. Links of the default network
// are called after their address also here, so that nobody else gets that.
func (n *core) insert(ns *os.File, s *segment, p *place, in sandbox.Plug) error {
	for range 16 {
		in.HostLink = cmp.Or(p.HostLink, n.linkName())
		if s.maker != nil {
			in.HostLink = s.maker.HostLink(p.IP.Addr())
		}
		err := sandbox.Insert(n.host, ns, in)
		if err == nil {
			p.HostLink = in.HostLink
			return nil
		}
		if errors.Is(err, syscall.EXFULL) {
			return sandbox.Full(s.link)
		}
		if !errors.Is(err, syscall.EEXIST) {
			return fmt.Errorf("join network %s: %w", s.def.Name, err)
		}
		if there, err := sandbox.Links(ns); err == nil && slices.Contains(there, in.Link) {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("join network %s: the container has a link %s already; name another", s.def.Name, in.Link))
		}
		if s.maker != nil {
			if err := bridge.Remove(in.HostLink); err != nil {
				return err
			}
		}
	}
	return errdefs.ErrResourceExhausted.WithMessage("no name for another link is free")
}

// linkName is random; ours tells it from others' links.
func (n *core) linkName() string {
	var b [3]byte
	rand.Read(b[:]) // never fails
	return "vn" + n.instance + hex.EncodeToString(b[:])[:5]
}

// ours is whether a link is the host's end of a sandbox's.
func (n *core) ours(link string) bool {
	return strings.HasPrefix(link, "ve"+n.instance) || strings.HasPrefix(link, "vn"+n.instance)
}
