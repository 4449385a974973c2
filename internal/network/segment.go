package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"
	mobynet "github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/network/definition"
	"github.com/berth-containers/berth/internal/network/ipam"
	"github.com/berth-containers/berth/internal/network/publish"
	"github.com/berth-containers/berth/internal/network/sandbox"
)

// segment is what the kernel has of one network.
type segment struct {
	def     mobynet.Network
	set     definition.Settings
	foreign bool // the bridge is the user's: it stays
	link    string
	mac     net.HardwareAddr
	v4, v6  *ipam.Pool     // nil: no such family
	maker   *sandbox.Maker // of the default network only

	mu     sync.Mutex
	shards []joined              // the bridges, the one with the addresses first
	last   map[netip.Addr]string // host link of an address's last owner, while it is there

	members int  // guarded by the Network's mu, as gone is
	gone    bool // it is being removed
}

// joined is one of the bridges that are one segment.
type joined struct {
	index int
	link  string
}

// first is the index of the bridge with the addresses.
func (s *segment) first() int { return s.shards[0].index }

// has is whether a bridge is the segment's.
func (s *segment) has(index int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.shards, func(b joined) bool { return b.index == index })
}

// ensure makes the segment's bridge and pools.
func (s *segment) ensure() error {
	b := bridge.Bridge{Name: s.link, MTU: s.set.MTU}
	for _, sub := range []definition.Subnet{s.set.V4, s.set.V6} {
		if sub.Is() {
			b.Addresses = append(b.Addresses, sub.Bridge())
		}
	}
	index, err := bridge.Ensure(b)
	if err != nil {
		return err
	}
	s.shards, s.last = []joined{{index, s.link}}, map[netip.Addr]string{}
	if s.mac, err = bridge.HardwareAddr(index); err != nil {
		return err
	}
	for _, f := range []struct {
		sub  definition.Subnet
		pool **ipam.Pool
	}{{s.set.V4, &s.v4}, {s.set.V6, &s.v6}} {
		if !f.sub.Is() || *f.pool != nil {
			continue
		}
		if *f.pool, err = ipam.Within(f.sub.Prefix, f.sub.Range); err != nil {
			return err
		}
		for _, a := range append(f.sub.Reserved, f.sub.Gateway) {
			(*f.pool).Claim(a)
		}
	}
	return nil
}

func (s *segment) pools() []*ipam.Pool {
	return slices.DeleteFunc([]*ipam.Pool{s.v4, s.v6}, func(p *ipam.Pool) bool { return p == nil })
}

func (s *segment) rules() publish.Bridge {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := publish.Bridge{Internal: s.set.Internal, ICC: s.set.ICC, Masquerade: s.set.Masquerade}
	for _, of := range s.shards {
		b.Links = append(b.Links, of.link)
	}
	for _, p := range s.pools() {
		b.Subnets = append(b.Subnets, p.Subnet())
	}
	return b
}

// userDefined is whether names are served in it.
func (s *segment) userDefined() bool { return s.maker == nil }

// allocate finds the addresses for a place; the caller gives them back.
func (s *segment) allocate(j Join, ep *container.Endpoint) error {
	for _, a := range j.Addresses {
		if !slices.ContainsFunc(s.pools(), func(p *ipam.Pool) bool { return p.Subnet().Contains(a) }) {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid endpoint settings:\nno configured subnet contains IP address %s", a))
		}
	}
	for _, p := range s.pools() {
		a, err := choose(p, j)
		if err != nil {
			s.free(*ep)
			return err
		}
		if a.Is4() {
			ep.IP, ep.Gateway = netip.PrefixFrom(a, p.Subnet().Bits()), s.gateway(s.set.V4)
		} else {
			ep.IP6, ep.Gateway6 = netip.PrefixFrom(a, p.Subnet().Bits()), s.gateway(s.set.V6)
		}
	}
	return nil
}

// gateway is what a container's endpoint says; an internal network has none.
func (s *segment) gateway(sub definition.Subnet) netip.Addr {
	if s.set.Internal {
		return netip.Addr{}
	}
	return sub.Gateway
}

// choose is the address of a family: the one that was asked for, the one of
// before, or the next.
func choose(p *ipam.Pool, j Join) (netip.Addr, error) {
	for _, a := range j.Addresses {
		if !p.Subnet().Contains(a) {
			continue
		}
		if !p.Claim(a) {
			return a, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("Address already in use: %s of subnet %s", a, p.Subnet()))
		}
		return a, nil
	}
	if j.Before != nil {
		for _, a := range []netip.Addr{j.Before.IP.Addr(), j.Before.IP6.Addr()} {
			if p.Claim(a) {
				return a, nil
			}
		}
	}
	return p.Next()
}

// free gives the addresses of a place back.
func (s *segment) free(ep container.Endpoint) {
	if s.v4 != nil && ep.IP.IsValid() {
		s.v4.Free(ep.IP.Addr())
	}
	if s.v6 != nil && ep.IP6.IsValid() {
		s.v6.Free(ep.IP6.Addr())
	}
}

// claim takes the addresses of a place that exists; false: one is not free.
func (s *segment) claim(ep container.Endpoint) bool {
	if ep.IP.IsValid() && (s.v4 == nil || !s.v4.Claim(ep.IP.Addr())) {
		return false
	}
	if ep.IP6.IsValid() && (s.v6 == nil || !s.v6.Claim(ep.IP6.Addr())) {
		if ep.IP.IsValid() {
			s.v4.Free(ep.IP.Addr())
		}
		return false
	}
	return true
}

// addresses are a place's with their subnets' lengths.
func addresses(ep container.Endpoint) []netip.Prefix {
	return slices.DeleteFunc([]netip.Prefix{ep.IP, ep.IP6}, func(p netip.Prefix) bool { return !p.IsValid() })
}

// evict takes the link away that an address's last owner still has: two links
// with one address would share its traffic.
func (s *segment) evict(ep container.Endpoint) error {
	for _, p := range addresses(ep) {
		s.mu.Lock()
		link := s.last[p.Addr()]
		delete(s.last, p.Addr())
		s.mu.Unlock()
		if link == "" {
			continue
		}
		if err := bridge.Remove(link); err != nil {
			return err
		}
	}
	return nil
}

// left remembers what evict looks for.
func (s *segment) left(ep container.Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range addresses(ep) {
		s.last[p.Addr()] = ep.HostLink
	}
}

// forget is called when the link is gone that left remembered.
func (s *segment) forget(ep container.Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range addresses(ep) {
		if s.last[p.Addr()] == ep.HostLink {
			delete(s.last, p.Addr())
		}
	}
}

// perBridge is how many containers a bridge gets before another is put beside
// it. It has room for 1,023; the rest is for links that are going.
const perBridge = 800

// masters are the segment's bridges, the one whose turn it is first.
func (s *segment) masters() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	turn := min(s.inUse()/perBridge, len(s.shards)-1)
	all := make([]int, len(s.shards))
	for i := range all {
		all[i] = s.shards[(turn+i)%len(all)].index
	}
	return all
}

func (s *segment) inUse() int {
	if s.v4 != nil {
		return s.v4.Count()
	}
	return s.v6.Count()
}

// widen puts another bridge beside the segment's when they fill: there is
// always one ahead of need, because a full bridge cannot be joined to it. Of
// isolated containers there is one bridge only: isolation ends at a bridge.
func (n *core) widen(s *segment) error {
	s.mu.Lock()
	wider := false
	var err error
	for err == nil && s.set.ICC && s.inUse() > perBridge/2 && len(s.shards) < s.inUse()/perBridge+2 {
		var b joined
		if b, err = n.addShard(s); err == nil {
			s.shards, wider = append(s.shards, b), true
		}
	}
	s.mu.Unlock()
	if wider && err == nil {
		err = n.table.Set(n.desired)
	}
	return err
}

func (n *core) addShard(s *segment) (joined, error) {
	var there []int
	for _, b := range s.shards {
		there = append(there, b.index)
	}
	for i := range 1 << 12 {
		names := n.shardNames(i)
		taken, err := bridge.Exists(names.bridge)
		if err != nil {
			return joined{}, err
		}
		if taken {
			continue
		}
		index, err := bridge.Beside(there, bridge.Trunk{Bridge: names.bridge, Near: names.near, Far: names.far, MTU: s.set.MTU})
		if errors.Is(err, syscall.EXFULL) {
			return joined{}, sandbox.Full(s.link)
		}
		if !errors.Is(err, syscall.EEXIST) {
			return joined{index, names.bridge}, err
		}
	}
	return joined{}, sandbox.Full(s.link)
}

// shard is the names of a further bridge, and of the link that joins it.
type shard struct{ bridge, near, far string }

func (n *core) shardNames(i int) shard {
	id := fmt.Sprintf("%s%03x", n.instance, i)
	return shard{"bs" + id, "bt" + id, "bu" + id}
}

// shardOf is the number of a further bridge of this engine.
func (n *core) shardOf(link string) (string, bool) {
	return strings.CutPrefix(link, "bs"+n.instance)
}
