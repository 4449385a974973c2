package rtnl

import (
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
func Hairpin(port string) Change {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(port)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_SLAVE_KIND, nl.NonZeroTerminated("bridge"))
	info.AddRtAttr(nl.IFLA_INFO_SLAVE_DATA, nil).AddRtAttr(nl.IFLA_BRPORT_MODE, nl.Uint8Attr(1))
	req.AddData(info)
	return Change{what: "set hairpin of " + port, req: req}
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

// AddAddress gives an IPv4 address to a link.
func AddAddress(index int, addr netip.Prefix) Change {
	req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	msg := nl.NewIfAddrmsg(unix.AF_INET)
	msg.Index = uint32(index)
	msg.Prefixlen = uint8(addr.Bits())
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, addr.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, addr.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, broadcast(addr).AsSlice()))
	return Change{what: "add address " + addr.String(), req: req}
}

// AddDefaultRoute sends everything that is not local to gateway.
func AddDefaultRoute(index int, gateway netip.Addr) Change {
	req := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	msg := nl.NewRtMsg()
	msg.Family = unix.AF_INET
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.RTA_GATEWAY, gateway.AsSlice()))
	req.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
	return Change{what: "add default route by " + gateway.String(), req: req}
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
