package rtnl

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const skipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS

// Change is one change to links, addresses or routes.
type Change struct {
	what string
	req  *nl.NetlinkRequest
}

// Veth describes a pair of links.
type Veth struct {
	Name   string // of the end in the Conn's namespace
	Master int    // index of the bridge it joins
	MTU    int    // 0: the kernel's default
	// The other end is born in Peer: moving a link there afterwards waits for
	// grace periods.
	Peer     *os.File
	PeerName string
	PeerMAC  net.HardwareAddr
}

// AddVeth makes both links, and brings up the one in the Conn's namespace.
func AddVeth(v Veth) Change {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(up())
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(v.Name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(v.Master))))
	size := func(add func(int, []byte)) {
		// One queue: more cost memory and only serve XDP.
		add(unix.IFLA_NUM_TX_QUEUES, nl.Uint32Attr(1))
		add(unix.IFLA_NUM_RX_QUEUES, nl.Uint32Attr(1))
		if v.MTU != 0 {
			add(unix.IFLA_MTU, nl.Uint32Attr(uint32(v.MTU)))
		}
	}
	size(func(t int, b []byte) { req.AddData(nl.NewRtAttr(t, b)) })
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	peer.AddChild(nl.NewIfInfomsg(unix.AF_UNSPEC)) // it can go up only when both are there
	peer.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(v.PeerName))
	peer.AddRtAttr(unix.IFLA_ADDRESS, v.PeerMAC)
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(v.Peer.Fd())))
	size(func(t int, b []byte) { peer.AddRtAttr(t, b) })
	req.AddData(info)
	return Change{what: "add link " + v.Name, req: req}
}

// Hairpin lets the bridge send a frame back through the port it came from. It is
// needed where br_netfilter translates addresses inside the bridge.
func Hairpin(port string) Change { return portMode("set hairpin of "+port, port, nl.IFLA_BRPORT_MODE) }

// Isolate keeps a port of a bridge from all other ports that are isolated.
func Isolate(port string) Change { return portMode("isolate "+port, port, unix.IFLA_BRPORT_ISOLATED) }

func portMode(what, port string, mode int) Change {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(port)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_SLAVE_KIND, nl.NonZeroTerminated("bridge"))
	info.AddRtAttr(nl.IFLA_INFO_SLAVE_DATA, nil).AddRtAttr(mode, nl.Uint8Attr(1))
	req.AddData(info)
	return Change{what: what, req: req}
}

// Up brings a link up.
func Up(index int) Change {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := up()
	msg.Index = int32(index)
	req.AddData(msg)
	return Change{what: "bring up link", req: req}
}

// Settle has the kernel act on the link's carrier now. It would do so in the
// background, and with many links coming up packets are lost until then: asking
// for a link is what makes it catch up.
func Settle(link string) Change {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStats)))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(link)))
	return Change{what: "settle link " + link, req: req}
}

// AddAddress gives an address to a link. An IPv6 address is usable at once: that
// nobody else has it is the caller's knowledge.
func AddAddress(index int, addr netip.Prefix) Change {
	req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	msg := nl.NewIfAddrmsg(family(addr.Addr()))
	msg.Index = uint32(index)
	msg.Prefixlen = uint8(addr.Bits())
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, addr.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, addr.Addr().AsSlice()))
	if addr.Addr().Is4() {
		req.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, broadcast(addr).AsSlice()))
	} else {
		req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(unix.IFA_F_NODAD|unix.IFA_F_PERMANENT)))
	}
	return Change{what: "add address " + addr.String(), req: req}
}

// AddDefaultRoute sends everything that is not local to gateway.
func AddDefaultRoute(index int, gateway netip.Addr) Change {
	req := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	return defaultRoute("add default route by "+gateway.String(), req, index, gateway)
}

// SetDefaultRoute is AddDefaultRoute in place of what was there.
func SetDefaultRoute(index int, gateway netip.Addr) Change {
	req := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	return defaultRoute("set default route by "+gateway.String(), req, index, gateway)
}

func defaultRoute(what string, req *nl.NetlinkRequest, index int, gateway netip.Addr) Change {
	msg := nl.NewRtMsg()
	msg.Family = uint8(family(gateway))
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.RTA_GATEWAY, gateway.AsSlice()))
	req.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
	return Change{what: what, req: req}
}

// DropDefaultRoute takes the default route of the family of like away;
// syscall.ESRCH if there is none.
func DropDefaultRoute(like netip.Addr) Change {
	req := nl.NewNetlinkRequest(unix.RTM_DELROUTE, unix.NLM_F_ACK)
	msg := nl.NewRtDelMsg()
	msg.Family = uint8(family(like))
	req.AddData(msg)
	return Change{what: "drop default route", req: req}
}

// SetNeighbour says which hardware address has an address, so that nobody needs
// to ask. Such an entry takes no room in the host's bounded table of neighbours
// (since Linux 5.0).
func SetNeighbour(index int, a netip.Addr, mac net.HardwareAddr) Change {
	req := nl.NewNetlinkRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	return neighbour("set neighbour "+a.String(), req, index, a, mac)
}

// DropNeighbour takes an entry away; syscall.ENOENT if there is none.
func DropNeighbour(index int, a netip.Addr) Change {
	return neighbour("drop neighbour "+a.String(), nl.NewNetlinkRequest(unix.RTM_DELNEIGH, unix.NLM_F_ACK), index, a, nil)
}

// neighbourMsg is struct ndmsg of linux/neighbour.h.
type neighbourMsg struct {
	family uint8
	index  uint32
	state  uint16
}

func (m neighbourMsg) Len() int { return 12 }

func (m neighbourMsg) Serialize() []byte {
	b := []byte{m.family, 0, 0, 0}
	b = binary.NativeEndian.AppendUint32(b, m.index)
	b = binary.NativeEndian.AppendUint16(b, m.state)
	return append(b, 0, 0)
}

func neighbour(what string, req *nl.NetlinkRequest, index int, a netip.Addr, mac net.HardwareAddr) Change {
	req.AddData(neighbourMsg{uint8(family(a)), uint32(index), unix.NUD_PERMANENT})
	req.AddData(nl.NewRtAttr(unix.NDA_DST, a.AsSlice()))
	if mac != nil {
		req.AddData(nl.NewRtAttr(unix.NDA_LLADDR, mac))
	}
	return Change{what: what, req: req}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func up() *nl.IfInfomsg {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Flags, msg.Change = unix.IFF_UP, unix.IFF_UP
	return msg
}

func broadcast(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}
