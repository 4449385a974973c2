package bridge

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
)

// Trunk joins a further bridge to one that there is.
type Trunk struct {
	Bridge    string // the further bridge
	Near, Far string // the joining link's ends: on the one that there is, and on the further
	MTU       int
}

// Beside makes a bridge without an address and joins it to the first of the
// others that has room; what is on it is in the same network. It returns its
// index. syscall.EXFULL if none has room.
func Beside(others []int, t Trunk) (int, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = t.Bridge, t.MTU
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return 0, fmt.Errorf("add bridge %s: %w", t.Bridge, err)
	}
	index, err := join(others, t)
	if err != nil {
		return 0, errors.Join(err, Remove(t.Bridge))
	}
	return index, nil
}

func join(others []int, t Trunk) (int, error) {
	link, err := netlink.LinkByName(t.Bridge)
	if err != nil {
		return 0, fmt.Errorf("find bridge %s: %w", t.Bridge, err)
	}
	err = SetSysctl("net/ipv6/conf/"+t.Bridge+"/disable_ipv6", "1")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	var full error = syscall.EXFULL
	for _, other := range others {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MasterIndex, attrs.MTU = t.Near, other, t.MTU
		full = netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: t.Far})
		if !errors.Is(full, syscall.EXFULL) {
			break
		}
		if err := Remove(t.Near); err != nil { // it was made, and not joined
			return 0, err
		}
	}
	if full != nil {
		return 0, fmt.Errorf("join bridge %s: %w", t.Bridge, full)
	}
	if err := Rejoin(t.Far, link.Attrs().Index); err != nil {
		return 0, errors.Join(err, Remove(t.Near))
	}
	near, err := netlink.LinkByName(t.Near)
	if err == nil {
		err = errors.Join(netlink.LinkSetUp(near), netlink.LinkSetUp(link))
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("bring up bridge %s: %w", t.Bridge, err), Remove(t.Near))
	}
	return link.Attrs().Index, nil
}

// Rejoin puts a link on a bridge, up.
func Rejoin(name string, master int) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = errors.Join(netlink.LinkSetMasterByIndex(link, master), netlink.LinkSetUp(link))
	}
	if err != nil {
		return fmt.Errorf("put link %s on bridge %d: %w", name, master, err)
	}
	return nil
}

// HardwareAddr is a link's.
func HardwareAddr(index int) (net.HardwareAddr, error) {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return nil, fmt.Errorf("find link %d: %w", index, err)
	}
	return link.Attrs().HardwareAddr, nil
}
