package publish

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// Registers of 4 bytes that follow each other: a concatenated key is loaded
// into word(0) …, a concatenated value comes out at word(0) ….
func word(n uint32) uint32 {
	if n == 0 {
		return 1 // NFT_REG_1, the same place as NFT_REG32_00
	}
	return 8 + n // NFT_REG32_00 + n
}

const (
	reg0 = 1 // NFT_REG_1: 16 bytes
	reg1 = 2 // NFT_REG_2: the next 16 bytes

	addrTypeLocal  = 2      // RTN_LOCAL
	statusDNAT     = 1 << 5 // IPS_DST_NAT
	offsetDestPort = 2      // in the TCP and UDP header

	rejectICMP           = 0 // NFT_REJECT_ICMP_UNREACH
	rejectTCPReset       = 1 // NFT_REJECT_TCP_RST
	icmp6PortUnreachable = 4 // ICMPV6_PORT_UNREACH
)

// family is what differs between IPv4 and IPv6.
type family struct {
	table        nftables.TableFamily
	address      uint32 // AF_INET or AF_INET6
	bytes        uint32 // of an address
	source, dest uint32 // their place in the header
}

var (
	ipv4 = family{table: nftables.TableFamilyIPv4, address: syscall.AF_INET, bytes: 4, source: 12, dest: 16}
	ipv6 = family{table: nftables.TableFamilyIPv6, address: syscall.AF_INET6, bytes: 16, source: 8, dest: 24}
)

func (f family) has(p netip.Prefix) bool { return p.Addr().BitLen() == int(f.bytes)*8 }

func (f family) kind() nftables.SetDatatype {
	if f.bytes == 4 {
		return nftables.TypeIPAddr
	}
	return nftables.TypeIP6Addr
}

func (f family) loopback() netip.Prefix {
	if f.bytes == 4 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)
	}
	return netip.PrefixFrom(netip.IPv6Loopback(), 128)
}

// half is the table of one family.
type half struct {
	conn  *nftables.Conn
	f     family
	table *nftables.Table
}

// anyAddress maps a port on every address of the host.
func (h half) anyAddress() *nftables.Set {
	return h.portMap("ports", nftables.TypeInetProto, nftables.TypeInetService)
}

// oneAddress maps a port on one address of the host.
func (h half) oneAddress() *nftables.Set {
	return h.portMap("address-ports", nftables.TypeInetProto, h.f.kind(), nftables.TypeInetService)
}

func (h half) portMap(name string, key ...nftables.SetDatatype) *nftables.Set {
	return &nftables.Set{
		Table: h.table, Name: name, IsMap: true, Concatenation: true,
		KeyType:  nftables.MustConcatSetType(key...),
		DataType: nftables.MustConcatSetType(h.f.kind(), nftables.TypeInetService),
	}
}

func (h half) elements(mappings []Mapping) (anyAddr, oneAddr []nftables.SetElement) {
	for _, m := range mappings {
		if m.To.Addr().BitLen() != int(h.f.bytes)*8 {
			continue
		}
		proto, port := protoField(m.Proto), portField(m.HostPort)
		e := nftables.SetElement{Val: append(m.To.Addr().AsSlice(), portField(m.To.Port())...)}
		if m.HostIP.IsUnspecified() {
			e.Key = append(proto, port...)
			anyAddr = append(anyAddr, e)
			continue
		}
		e.Key = append(append(proto, m.HostIP.AsSlice()...), port...)
		oneAddr = append(oneAddr, e)
	}
	return anyAddr, oneAddr
}

func protoField(proto string) []byte {
	if proto == "udp" {
		return []byte{syscall.IPPROTO_UDP, 0, 0, 0}
	}
	return []byte{syscall.IPPROTO_TCP, 0, 0, 0}
}

func portField(port uint16) []byte {
	return append(binary.BigEndian.AppendUint16(nil, port), 0, 0) // each field fills 4 bytes
}

// sets are what the rules ask for networks in.
type sets struct{ bridges, beside, internal, icc, subnets, masquerade *nftables.Set }

// addSets queues the sets of networks.
func (h half) addSets(bridges []Bridge) (sets, error) {
	links := func(name string) *nftables.Set {
		return &nftables.Set{Table: h.table, Name: name, KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian}
	}
	ranges := func(name string) *nftables.Set {
		return &nftables.Set{Table: h.table, Name: name, KeyType: h.f.kind(), Interval: true}
	}
	s := sets{bridges: links("bridges"), beside: links("beside"), internal: links("internal"), subnets: ranges("subnets"), masquerade: ranges("masquerade"),
		icc: &nftables.Set{Table: h.table, Name: "icc", Concatenation: true, KeyType: nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIFName)}}
	in := map[*nftables.Set][]nftables.SetElement{}
	add := func(set *nftables.Set, e ...nftables.SetElement) { in[set] = append(in[set], e...) }
	for _, b := range bridges {
		for i, name := range b.Links {
			link := linkName(name)
			if i > 0 {
				add(s.beside, nftables.SetElement{Key: link})
			}
			add(s.bridges, nftables.SetElement{Key: link})
			if b.Internal {
				add(s.internal, nftables.SetElement{Key: link})
			}
			if b.ICC {
				add(s.icc, nftables.SetElement{Key: slices.Concat(link, link)})
			}
		}
		for _, p := range b.Subnets {
			if !h.f.has(p) {
				continue
			}
			add(s.subnets, interval(p)...)
			if b.Masquerade && !b.Internal {
				add(s.masquerade, interval(p)...)
			}
		}
	}
	for _, set := range []*nftables.Set{s.bridges, s.beside, s.internal, s.icc, s.subnets, s.masquerade} {
		if err := h.addSet(set, in[set]); err != nil {
			return s, err
		}
	}
	return s, nil
}

func interval(p netip.Prefix) []nftables.SetElement {
	e := []nftables.SetElement{{Key: p.Masked().Addr().AsSlice()}}
	if end := last(p).Next(); end.IsValid() {
		e = append(e, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
	}
	return e
}

func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// addRules queues the chains, maps and rules.
func (h half) addRules(state State) error {
	networks, err := h.addSets(state.Bridges)
	if err != nil {
		return err
	}
	anyElems, oneElems := h.elements(state.Mappings)
	anyMap, oneMap := h.anyAddress(), h.oneAddress()
	if err := h.addSet(anyMap, anyElems); err != nil {
		return err
	}
	if err := h.addSet(oneMap, oneElems); err != nil {
		return err
	}
	h.addFilters(networks)
	h.addTranslation(networks, anyMap, [][]expr.Any{
		h.translate(oneMap, protocol(word(0)), h.destination(word(1)), destPort(word(1+h.f.bytes/4))),
		h.translate(anyMap, protocol(word(0)), destPort(word(1)))})
	return nil
}

func (h half) addTranslation(networks sets, anyMap *nftables.Set, dnat [][]expr.Any) {
	pre := h.chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	h.rule(pre, h.inLoopback(h.destination), verdict(expr.VerdictReturn))
	h.rule(pre, notLocal(), verdict(expr.VerdictReturn))
	out := h.chain("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	h.rule(out, notLocal(), verdict(expr.VerdictReturn))
	if h.f == ipv6 {
		// There is no route_localnet: what comes back for ::1 is dropped where
		// br_netfilter translates it. Who asks there is told at once.
		h.rule(out, h.inLoopback(h.destination), verdict(expr.VerdictReturn))
		closed := h.chain("closed", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityFilter)
		for _, reject := range []struct {
			proto byte
			with  expr.Reject
		}{{syscall.IPPROTO_TCP, expr.Reject{Type: rejectTCPReset}}, {syscall.IPPROTO_UDP, expr.Reject{Type: rejectICMP, Code: icmp6PortUnreachable}}} {
			h.rule(closed, h.inLoopback(h.destination), proto(reject.proto), among(anyMap, protocol(word(0)), destPort(word(1))), []expr.Any{&reject.with})
		}
	}
	for _, d := range dnat {
		h.rule(pre, d)
		h.rule(out, d)
	}

	post := h.chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	masquerade := []expr.Any{&expr.Masq{}}
	toBridge := among(networks.bridges, link(expr.MetaKeyOIFNAME, reg0))
	// A container cannot answer to the host's loopback.
	h.rule(post, toBridge, h.inLoopback(h.sender), masquerade)
	// From a container by a published port to a container: the answer must come
	// through the host to be translated back.
	h.rule(post, toBridge, among(networks.subnets, h.sender(reg0)), wasTranslated(), masquerade)
	h.rule(post, toBridge, verdict(expr.VerdictReturn))
	h.rule(post, among(networks.masquerade, h.sender(reg0)), masquerade)
}

func (h half) addSet(m *nftables.Set, elems []nftables.SetElement) error {
	if err := h.conn.AddSet(m, nil); err != nil {
		return err
	}
	for some := range slices.Chunk(elems, perMessage) {
		if err := h.conn.SetAddElements(m, some); err != nil {
			return err
		}
	}
	return nil
}

// addFilters queues the rules that let through and drop.
func (h half) addFilters(networks sets) {
	fromBridge := among(networks.bridges, link(expr.MetaKeyIIFNAME, reg0))
	raw := h.chain("raw", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	// What br_netfilter shows on its way over a further bridge is decided on when
	// it leaves the first: a flow is translated once or never.
	h.rule(raw, among(networks.beside, link(expr.MetaKeyIIFNAME, reg0)), []expr.Any{&expr.Notrack{}}, verdict(expr.VerdictAccept))
	// route_localnet opens the host's loopback to the bridge: close it again.
	h.rule(raw, fromBridge, h.inLoopback(h.destination), verdict(expr.VerdictDrop))
	h.rule(raw, fromBridge, h.inLoopback(h.sender), verdict(expr.VerdictDrop))

	fwd := h.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	// Bridged traffic comes here, too, where br_netfilter is in use.
	h.rule(fwd, among(networks.icc, link(expr.MetaKeyIIFNAME, reg0), link(expr.MetaKeyOIFNAME, reg1)), verdict(expr.VerdictAccept))
	h.rule(fwd, among(networks.internal, link(expr.MetaKeyIIFNAME, reg0)), verdict(expr.VerdictDrop))
	h.rule(fwd, among(networks.internal, link(expr.MetaKeyOIFNAME, reg0)), verdict(expr.VerdictDrop))
	h.rule(fwd, established(), verdict(expr.VerdictAccept))
	h.rule(fwd, wasTranslated(), verdict(expr.VerdictAccept))
	// What was not published is not reachable by a container's own address,
	// neither from outside nor from another network.
	h.rule(fwd, among(networks.bridges, link(expr.MetaKeyOIFNAME, reg0)), verdict(expr.VerdictDrop))
}

func (h half) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) *nftables.Chain {
	return h.conn.AddChain(&nftables.Chain{Table: h.table, Name: name, Type: kind, Hooknum: hook, Priority: prio})
}

func (h half) rule(c *nftables.Chain, parts ...[]expr.Any) {
	var exprs []expr.Any
	for _, p := range parts {
		exprs = append(exprs, p...)
	}
	h.conn.AddRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: exprs})
}

// translate looks the key up and sends the packet where the value says.
func (h half) translate(m *nftables.Set, key ...expr.Any) []expr.Any {
	return append(key,
		&expr.Lookup{SourceRegister: reg0, DestRegister: reg0, IsDestRegSet: true, SetID: m.ID, SetName: m.Name},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: h.f.address, RegAddrMin: reg0, RegProtoMin: word(h.f.bytes / 4)})
}

// among matches if the key is in the set, or the map.
func among(set *nftables.Set, key ...expr.Any) []expr.Any {
	l := &expr.Lookup{SourceRegister: reg0, SetID: set.ID, SetName: set.Name}
	if set.IsMap {
		l.DestRegister, l.IsDestRegSet = reg0, true
	}
	return append(key, l)
}

func proto(p byte) []expr.Any {
	return []expr.Any{protocol(reg0), &expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{p}}}
}

func link(key expr.MetaKey, reg uint32) expr.Any { return &expr.Meta{Key: key, Register: reg} }

func linkName(name string) []byte {
	padded := make([]byte, 16)
	copy(padded, name)
	return padded
}

func protocol(reg uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg} }

func destPort(reg uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: offsetDestPort, Len: 2}
}

func (h half) sender(reg uint32) expr.Any { return h.address(reg, h.f.source) }

func (h half) destination(reg uint32) expr.Any { return h.address(reg, h.f.dest) }

func (h half) address(reg, offset uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: h.f.bytes}
}

func (h half) inLoopback(field func(uint32) expr.Any) []expr.Any {
	p := h.f.loopback()
	return []expr.Any{
		field(reg0),
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: h.f.bytes,
			Mask: net.CIDRMask(p.Bits(), int(h.f.bytes)*8), Xor: make([]byte, h.f.bytes)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: p.Masked().Addr().AsSlice()},
	}
}

func notLocal() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg0, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: binaryutil.NativeEndian.PutUint32(addrTypeLocal)},
	}
}

func wasTranslated() []expr.Any { return conntrack(expr.CtKeySTATUS, statusDNAT) }

func established() []expr.Any {
	return conntrack(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// conntrack matches if any of the bits is set.
func conntrack(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: reg0},
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: make([]byte, 4)},
	}
}

func verdict(k expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: k}} }
