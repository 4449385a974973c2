// Package bridge makes the link that joins the containers of one engine, finds
// a subnet for it and takes it away. Everything is idempotent: an engine that
// comes back after a crash finds its bridge and goes on.
package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// Gateway is the bridge's own address in subnet: the first of its hosts.
func Gateway(subnet netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(subnet.Masked().Addr().Next(), subnet.Bits())
}

// Ensure makes the bridge name with gateway as its address, or adopts the one
// that is there, and returns its index.
func Ensure(name string, gateway netip.Prefix) (int, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	// A bridge without an address of its own takes one of its ports', and a
	// new one whenever that goes.
	attrs.HardwareAddr = MAC(gateway.Addr())
	err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
	if err != nil && !errors.Is(err, syscall.EEXIST) {
		return 0, fmt.Errorf("add bridge %s: %w", name, err)
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("find bridge %s: %w", name, err)
	}
	if link.Type() != "bridge" {
		return 0, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("link %s is in the way: it is a %s, not a bridge; remove it", name, link.Type()))
	}
	if err := setAddress(link, gateway); err != nil {
		return 0, err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return 0, fmt.Errorf("bring up bridge %s: %w", name, err)
	}
	return link.Attrs().Index, sysctls(name)
}

func setAddress(link netlink.Link, gateway netip.Prefix) error {
	name := link.Attrs().Name
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list addresses of bridge %s: %w", name, err)
	}
	have := false
	for _, a := range addrs {
		if prefix(a.IPNet) == gateway {
			have = true
			continue
		}
		if err := moveSubnet(link, a, gateway); err != nil {
			return err
		}
	}
	if have {
		return nil
	}
	addr := &netlink.Addr{IPNet: ipNet(gateway)}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("add address %s to bridge %s: %w", gateway, name, err)
	}
	return nil
}

// moveSubnet takes an address of an earlier configuration away, unless
// containers still use it.
func moveSubnet(link netlink.Link, old netlink.Addr, gateway netip.Prefix) error {
	name := link.Attrs().Name
	ports, err := Ports(link.Attrs().Index)
	if err != nil {
		return err
	}
	if len(ports) > 0 {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"bridge %s has the address %s and containers on it; stop them before the subnet becomes %s",
			name, prefix(old.IPNet), gateway.Masked()))
	}
	if err := netlink.AddrDel(link, &old); err != nil {
		return fmt.Errorf("remove address %s of bridge %s: %w", old.IPNet, name, err)
	}
	return nil
}

// Ports are the names of the links on the bridge.
func Ports(index int) ([]string, error) {
	links, err := Links()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range links {
		if l.Attrs().MasterIndex == index {
			names = append(names, l.Attrs().Name)
		}
	}
	return names, nil
}

// Links are all links of the engine's namespace.
func Links() ([]netlink.Link, error) {
	for {
		links, err := netlink.LinkList()
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			continue // links came or went meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list links: %w", err)
		}
		return links, nil
	}
}

// Remove takes a link away; it may be gone.
func Remove(name string) error {
	link, err := netlink.LinkByName(name)
	if missing(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("remove link %s: %w", name, err)
	}
	return nil
}

// RemoveIndex takes a link away; it may be gone.
func RemoveIndex(index int) error {
	err := netlink.LinkDel(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}})
	if err != nil && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("remove link %d: %w", index, err)
	}
	return nil
}

func missing(err error) bool {
	var none netlink.LinkNotFoundError
	return errors.As(err, &none) || errors.Is(err, syscall.ENODEV)
}

// MAC is the hardware address for an IPv4 address, as Docker forms it: a
// neighbour's table stays right when the address moves to a new container.
func MAC(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x02, 0x42, b[0], b[1], b[2], b[3]}
}

func sysctls(name string) error {
	if err := SetSysctl("net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	// A port published on 127.0.0.1 leads from a loopback address to the bridge.
	if err := SetSysctl("net/ipv4/conf/"+name+"/route_localnet", "1"); err != nil {
		return err
	}
	err := SetSysctl("net/ipv6/conf/"+name+"/disable_ipv6", "1")
	if errors.Is(err, os.ErrNotExist) {
		return nil // a kernel without IPv6
	}
	return err
}

// SetSysctl writes only what differs: /proc/sys may be read-only where the
// value is right already.
func SetSysctl(name, value string) error {
	path := "/proc/sys/" + name
	have, err := os.ReadFile(path)
	if err == nil && string(have) == value+"\n" {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("set sysctl %s to %s: %w", name, value, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}
	}
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones)
}
