package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"

	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/sys/netns"
	"github.com/berth-containers/berth/internal/sys/rtnl"
)

// Plug is a link between a sandbox and a bridge.
type Plug struct {
	HostLink string
	Masters  []int // indexes of the bridges it may join: the first with room
	MTU      int   // 0: the kernel's default
	Isolated bool

	Link      string // name inside
	MAC       net.HardwareAddr
	Addresses []netip.Prefix
	// Gateways are the bridge's addresses, and GatewayMAC its hardware address.
	Gateways   []netip.Addr
	GatewayMAC net.HardwareAddr
	Routes     []netip.Addr // those of the gateways that get a default route
}

// Empty makes a sandbox without a link.
func Empty() (*os.File, error) {
	return netns.New(func(*os.File) error {
		inside, err := rtnl.Dial()
		if err != nil {
			return err
		}
		defer inside.Close()
		return prepare(inside)
	})
}

// prepare is what every sandbox begins with.
func prepare(inside *rtnl.Conn) error {
	// A link gets no IPv6 link-local address unless its network has IPv6.
	err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("turn off IPv6: %w", err)
	}
	return inside.Do(rtnl.Up(1)) // lo is the first link of every namespace
}

// Insert makes the link of a plug in a sandbox that there is, or nothing. It is
// syscall.EEXIST if one of the two names is in use, syscall.EXFULL if the bridge
// is full.
func Insert(host *rtnl.Conn, ns *os.File, p Plug) error {
	made := false
	err := netns.Do(ns, func() error {
		inside, err := rtnl.Dial()
		if err != nil {
			return err
		}
		defer inside.Close()
		err = addLink(host, ns, p)
		if made = !errors.Is(err, syscall.EEXIST) && !errors.Is(err, syscall.EXFULL); err == nil {
			err = setUp(inside, p)
		}
		return err
	})
	if err != nil && made {
		// Its kind is not passed on: EEXIST of an address is none of a name.
		return errors.Join(fmt.Errorf("set up link %s: %v", p.Link, err), bridge.Remove(p.HostLink))
	}
	return err
}

// insert runs on a thread inside ns, which goes if it fails.
func insert(host, inside *rtnl.Conn, ns *os.File, p Plug) error {
	if err := addLink(host, ns, p); err != nil {
		return err
	}
	return setUp(inside, p)
}

// setUp gives the end inside what it is to have.
func setUp(inside *rtnl.Conn, p Plug) error {
	index, err := inside.Index(p.Link)
	if err != nil {
		return err
	}
	if err := openIPv6(p); err != nil {
		return err
	}
	changes := []rtnl.Change{rtnl.Up(index), rtnl.Settle(p.Link)}
	for _, a := range p.Addresses {
		changes = append(changes, rtnl.AddAddress(index, a))
	}
	for _, g := range p.Gateways {
		changes = append(changes, rtnl.SetNeighbour(index, g, p.GatewayMAC))
	}
	for _, g := range p.Routes {
		changes = append(changes, rtnl.AddDefaultRoute(index, g))
	}
	return inside.Do(changes...)
}

// addLink makes the pair of links on the first bridge that has room.
func addLink(host *rtnl.Conn, ns *os.File, p Plug) error {
	var err error = syscall.EXFULL
	for _, master := range p.Masters {
		veth := rtnl.Veth{Name: p.HostLink, Master: master, MTU: p.MTU, Peer: ns, PeerName: p.Link, PeerMAC: p.MAC}
		changes := []rtnl.Change{rtnl.AddVeth(veth), rtnl.Hairpin(p.HostLink)}
		if p.Isolated {
			changes = append(changes, rtnl.Isolate(p.HostLink))
		}
		if err = host.Do(changes...); !errors.Is(err, syscall.EXFULL) {
			return err
		}
	}
	return err
}

func openIPv6(p Plug) error {
	for _, a := range p.Addresses {
		if a.Addr().Is4() {
			continue
		}
		conf := "net/ipv6/conf/" + p.Link
		return errors.Join(bridge.SetSysctl(conf+"/accept_ra", "0"), bridge.SetSysctl(conf+"/disable_ipv6", "0"))
	}
	return nil
}

// Route is where a sandbox's default route of one family leads.
type Route struct {
	Link    string
	Gateway netip.Addr
}

// SetRoutes makes these the sandbox's default routes; a family without one has
// none.
func SetRoutes(ns *os.File, routes ...Route) error {
	return netns.Do(ns, func() error {
		inside, err := rtnl.Dial()
		if err != nil {
			return err
		}
		defer inside.Close()
		left := map[netip.Addr]bool{netip.IPv4Unspecified(): true, netip.IPv6Unspecified(): true}
		for _, r := range routes {
			index, err := inside.Index(r.Link)
			if err != nil {
				return err
			}
			if r.Gateway.Is4() {
				delete(left, netip.IPv4Unspecified())
			} else {
				delete(left, netip.IPv6Unspecified())
			}
			if err := inside.Do(rtnl.SetDefaultRoute(index, r.Gateway)); err != nil {
				return err
			}
		}
		for like := range left {
			if err := inside.Do(rtnl.DropDefaultRoute(like)); err != nil && !noRoute(err) {
				return err
			}
		}
		return nil
	})
}

// Defaults are the links that a sandbox's default routes lead through.
type Defaults struct{ Four, Six string }

// DefaultLinks are those of a sandbox.
func DefaultLinks(ns *os.File) (Defaults, error) {
	var d Defaults
	err := netns.Do(ns, func() error {
		var errs [2]error
		d.Four, errs[0] = defaultLink(netlink.FAMILY_V4)
		d.Six, errs[1] = defaultLink(netlink.FAMILY_V6)
		return errors.Join(errs[:]...)
	})
	return d, err
}

func defaultLink(family int) (string, error) {
	routes, err := netlink.RouteList(nil, family)
	if noRoute(err) {
		return "", nil
	}
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return "", fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if r.Gw == nil || r.Dst != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		l, err := net.InterfaceByIndex(r.LinkIndex)
		if err != nil {
			return "", fmt.Errorf("find the link of the default route: %w", err)
		}
		return l.Name, nil
	}
	return "", nil
}

// noRoute is whether there was nothing to drop: no such route, no table for any,
// or no such family.
func noRoute(err error) bool {
	return errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EOPNOTSUPP)
}

// Links are the names of the links in a sandbox.
func Links(ns *os.File) (names []string, err error) {
	err = netns.Do(ns, func() error {
		all, err := net.Interfaces()
		for _, l := range all {
			names = append(names, l.Name)
		}
		return err
	})
	return names, err
}

// Full is the error for bridges without room.
func Full(link string) error {
	return errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf(
		"bridge %s is full: it has no room for another container; use another network", link))
}
