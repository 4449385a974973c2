package bridge

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// taken is an address range in use, and by what.
type taken struct {
	prefix netip.Prefix
	link   string
}

// FreeSubnet finds a private subnet that no link or route of the host uses;
// those of the bridge name itself don't count.
func FreeSubnet(name string) (netip.Prefix, error) {
	used, err := inUse(name)
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, c := range candidates() {
		if _, clash := overlap(c, used); !clash {
			return c, nil
		}
	}
	return netip.Prefix{}, errdefs.ErrResourceExhausted.WithMessage(
		"no private subnet is free of the host's addresses and routes; name one with --bridge-subnet")
}

// InUse are the address ranges that links and routes of the host use besides
// those of the given links.
func InUse(except ...string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	used, err := inUse(except...)
	for _, u := range used {
		all = append(all, u.prefix)
	}
	return all, err
}

// CheckSubnet is InvalidArgument if another link than name has an address in
// subnet.
func CheckSubnet(name string, subnet netip.Prefix) error {
	used, err := addresses(name)
	if err != nil {
		return err
	}
	if by, clash := overlap(subnet, used); clash {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"subnet %s overlaps %s of link %s; choose another with --bridge-subnet", subnet, by.prefix, by.link))
	}
	return nil
}

func candidates() []netip.Prefix {
	var c []netip.Prefix
	for _, second := range []byte{30, 31, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18} {
		c = append(c, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, second, 0, 0}), 16))
	}
	for third := 0; third < 256; third += 16 {
		c = append(c, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(third), 0}), 20))
	}
	for second := 255; second >= 0; second-- {
		c = append(c, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(second), 0, 0}), 16))
	}
	return c
}

func overlap(p netip.Prefix, used []taken) (taken, bool) {
	for _, u := range used {
		if u.prefix.Overlaps(p) {
			return u, true
		}
	}
	return taken{}, false
}

func inUse(except ...string) ([]taken, error) {
	used, err := addresses(except...)
	if err != nil {
		return nil, err
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	own := map[int]bool{}
	for _, name := range except {
		if l, err := netlink.LinkByName(name); err == nil {
			own[l.Attrs().Index] = true
		}
	}
	for _, r := range routes {
		p := prefix(r.Dst)
		if p.IsValid() && p.Bits() > 0 && !own[r.LinkIndex] {
			used = append(used, taken{prefix: p})
		}
	}
	return used, nil
}

func addresses(except ...string) ([]taken, error) {
	links, err := Links()
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var used []taken
	for _, a := range addrs {
		if name := names[a.LinkIndex]; !slices.Contains(except, name) {
			used = append(used, taken{prefix: prefix(a.IPNet), link: name})
		}
	}
	return used, nil
}
