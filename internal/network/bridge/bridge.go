// Package bridge makes the link that joins the containers of one engine, finds
// a subnet for it and takes it away. Everything is idempotent: an engine that
// comes back after a crash finds its bridge and goes on.
package bridge

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// Gateway is the bridge's own address in subnet: the first of its hosts.
func Gateway(subnet netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(subnet.Masked().Addr().Next(), subnet.Bits())
}

// Bridge is what a bridge is to be.
type Bridge struct {
	Name      string
	Addresses []netip.Prefix // its own in each subnet
	MTU       int            // 0: the kernel's default
}

// Ensure makes the bridge, or adopts the one that is there, and returns its
// index.
func Ensure(b Bridge) (int, error) {
	link, err := add(b)
	if err != nil {
		return 0, err
	}
	six := slices.ContainsFunc(b.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() })
	if err := sysctls(b.Name, six); err != nil {
		return 0, err
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		if err := setAddress(link, family, b.Addresses); err != nil {
			return 0, err
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return 0, fmt.Errorf("bring up bridge %s: %w", b.Name, err)
	}
	for _, p := range b.Addresses {
		awaitLocal(p.Addr())
	}
	return link.Attrs().Index, nil
}

// awaitLocal waits, for a while, until the host knows an IPv6 address as its
// own: the kernel sees to that in the background.
func awaitLocal(a netip.Addr) {
	if a.Is4() {
		return
	}
	for range 200 {
		routes, err := netlink.RouteGet(a.AsSlice())
		if err == nil && len(routes) == 1 && routes[0].Type == syscall.RTN_LOCAL {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func add(b Bridge) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = b.Name, b.MTU
	if len(b.Addresses) > 0 {
		// A bridge without an address of its own takes one of its ports', and a
		// new one whenever that goes.
		attrs.HardwareAddr = MAC(b.Addresses[0].Addr())
	}
	err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
	if err != nil && !errors.Is(err, syscall.EEXIST) {
		return nil, fmt.Errorf("add bridge %s: %w", b.Name, err)
	}
	link, err := netlink.LinkByName(b.Name)
	if err != nil {
		return nil, fmt.Errorf("find bridge %s: %w", b.Name, err)
	}
	if link.Type() != "bridge" {
		return nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("link %s is in the way: it is a %s, not a bridge; remove it", b.Name, link.Type()))
	}
	return link, nil
}

// Exists is whether there is a link of that name.
func Exists(name string) (bool, error) {
	_, err := netlink.LinkByName(name)
	if missing(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find link %s: %w", name, err)
	}
	return true, nil
}

// setAddress makes those of the wanted addresses that are of a family the
// link's only ones that are not link-local.
func setAddress(link netlink.Link, family int, wanted []netip.Prefix) error {
	name := link.Attrs().Name
	addrs, err := whole(func() ([]netlink.Addr, error) { return netlink.AddrList(link, family) })
	if err != nil {
		return fmt.Errorf("list addresses of bridge %s: %w", name, err)
	}
	var have []netip.Prefix
	for _, a := range addrs {
		p := prefix(a.IPNet)
		if have = append(have, p); slices.Contains(wanted, p) || p.Addr().IsLinkLocalUnicast() {
			continue
		}
		if err := moveSubnet(link, a, wanted); err != nil {
			return err
		}
	}
	for _, w := range wanted {
		if w.Addr().Is4() != (family == netlink.FAMILY_V4) || slices.Contains(have, w) {
			continue
		}
		addr := &netlink.Addr{IPNet: ipNet(w)}
		if w.Addr().Is6() {
			addr.Flags = syscall.IFA_F_NODAD // nobody is there before the bridge
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add address %s to bridge %s: %w", w, name, err)
		}
	}
	return nil
}

// moveSubnet takes an address of an earlier configuration away, unless
// containers still use it.
func moveSubnet(link netlink.Link, old netlink.Addr, wanted []netip.Prefix) error {
	name := link.Attrs().Name
	ports, err := Ports(link.Attrs().Index)
	if err != nil {
		return err
	}
	if len(ports) > 0 {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"bridge %s has the address %s and containers on it; stop them before its subnet changes to that of %v",
			name, prefix(old.IPNet), wanted))
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
	links, err := whole(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	return links, nil
}

// whole asks again for a list that changed while the kernel told it, as it does
// all the time while many containers start or end.
func whole[T any](list func() ([]T, error)) ([]T, error) {
	for {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
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

// MAC is the hardware address for an address, as Docker forms it of IPv4: a
// neighbour's table stays right when the address moves to a new container.
func MAC(a netip.Addr) net.HardwareAddr {
	if a.Is4() {
		b := a.As4()
		return net.HardwareAddr{0x02, 0x42, b[0], b[1], b[2], b[3]}
	}
	sum := sha256.Sum256(a.AsSlice())
	return net.HardwareAddr{0x02, 0x42, sum[0], sum[1], sum[2], sum[3]}
}

func sysctls(name string, six bool) error {
	if err := SetSysctl("net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	// A port published on 127.0.0.1 leads from a loopback address to the bridge.
	if err := SetSysctl("net/ipv4/conf/"+name+"/route_localnet", "1"); err != nil {
		return err
	}
	if !six {
		err := SetSysctl("net/ipv6/conf/"+name+"/disable_ipv6", "1")
		if errors.Is(err, os.ErrNotExist) {
			return nil // a kernel without IPv6
		}
		return err
	}
	return errors.Join(forward6(),
		SetSysctl("net/ipv6/conf/"+name+"/accept_ra", "0"),
		SetSysctl("net/ipv6/conf/"+name+"/disable_ipv6", "0"))
}

// forward6 lets the host forward IPv6. A host that forwards no longer learns its
// own routes from routers, unless it is told to (accept_ra 2): links that do so
// far go on.
func forward6() error {
	const conf = "net/ipv6/conf/"
	if on, err := os.ReadFile("/proc/sys/" + conf + "all/forwarding"); err == nil && string(on) == "1\n" {
		return nil
	}
	links, err := os.ReadDir("/proc/sys/" + conf)
	if err != nil {
		return errdefs.ErrFailedPrecondition.WithMessage("this kernel has no IPv6: make the network without --ipv6 (" + err.Error() + ")")
	}
	var errs []error
	for _, l := range links {
		ra, err := os.ReadFile("/proc/sys/" + conf + l.Name() + "/accept_ra")
		if err == nil && string(ra) == "1\n" && l.Name() != "all" {
			errs = append(errs, SetSysctl(conf+l.Name()+"/accept_ra", "2"))
		}
	}
	return errors.Join(append(errs, SetSysctl(conf+"all/forwarding", "1"))...)
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
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
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
