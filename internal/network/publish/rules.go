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
// into reg0 …, a concatenated value comes out at reg0 ….
const (
	reg0 = 1 // NFT_REG_1, the same place as NFT_REG32_00
	reg1 = 9
	reg2 = 10
)

const (
	addrTypeLocal  = 2      // RTN_LOCAL
	statusDNAT     = 1 << 5 // IPS_DST_NAT
	offsetSource   = 12     // in the IPv4 header
	offsetDest     = 16     // in the IPv4 header
	offsetDestPort = 2      // in the TCP and UDP header
)

var loopback = netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)

// anyAddress maps a port on every address of the host.
func (t *Table) anyAddress() *nftables.Set {
	return t.portMap("ports", nftables.TypeInetProto, nftables.TypeInetService)
}

// oneAddress maps a port on one address of the host.
func (t *Table) oneAddress() *nftables.Set {
	return t.portMap("address-ports", nftables.TypeInetProto, nftables.TypeIPAddr, nftables.TypeInetService)
}

func (t *Table) portMap(name string, key ...nftables.SetDatatype) *nftables.Set {
	return &nftables.Set{
		Table: t.table(), Name: name, IsMap: true, Concatenation: true,
		KeyType:  nftables.MustConcatSetType(key...),
		DataType: nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService),
	}
}

func elements(mappings []Mapping) (anyAddr, oneAddr []nftables.SetElement) {
	for _, m := range mappings {
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

// addRules queues the chains, maps and rules.
func (t *Table) addRules(mappings []Mapping) error {
	anyElems, oneElems := elements(mappings)
	anyMap, oneMap := t.anyAddress(), t.oneAddress()
	if err := t.addMap(anyMap, anyElems); err != nil {
		return err
	}
	if err := t.addMap(oneMap, oneElems); err != nil {
		return err
	}
	t.addFilters()
	dnat := [][]expr.Any{translate(oneMap, protocol(reg0), dest(reg1), destPort(reg2)), translate(anyMap, protocol(reg0), destPort(reg1))}

	pre := t.chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	t.rule(pre, inLoopback(dest), verdict(expr.VerdictReturn))
	t.rule(pre, notLocal(), verdict(expr.VerdictReturn))
	out := t.chain("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	t.rule(out, notLocal(), verdict(expr.VerdictReturn))
	for _, d := range dnat {
		t.rule(pre, d)
		t.rule(out, d)
	}

	post := t.chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	masquerade := []expr.Any{&expr.Masq{}}
	// A container cannot answer to the host's 127.0.0.1.
	t.rule(post, t.to(expr.CmpOpEq), inLoopback(source), masquerade)
	// From a container by a published port back to this bridge: the answer
	// must come through the host to be translated back.
	t.rule(post, t.to(expr.CmpOpEq), inside(source, t.subnet), wasTranslated(), masquerade)
	t.rule(post, t.to(expr.CmpOpNeq), inside(source, t.subnet), masquerade)
	return nil
}

func (t *Table) addMap(m *nftables.Set, elems []nftables.SetElement) error {
	if err := t.conn.AddSet(m, nil); err != nil {
		return err
	}
	for some := range slices.Chunk(elems, perMessage) {
		if err := t.conn.SetAddElements(m, some); err != nil {
			return err
		}
	}
	return nil
}

// addFilters queues the rules that let through and drop.
func (t *Table) addFilters() {
	raw := t.chain("raw", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	// route_localnet opens the host's loopback to the bridge: close it again.
	t.rule(raw, t.from(), inLoopback(dest), verdict(expr.VerdictDrop))
	t.rule(raw, t.from(), inLoopback(source), verdict(expr.VerdictDrop))

	fwd := t.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	t.rule(fwd, t.from(), verdict(expr.VerdictAccept))
	t.rule(fwd, t.to(expr.CmpOpNeq), verdict(expr.VerdictAccept))
	t.rule(fwd, established(), verdict(expr.VerdictAccept))
	t.rule(fwd, wasTranslated(), verdict(expr.VerdictAccept))
	// What was not published is not reachable by a container's own address.
	t.rule(fwd, verdict(expr.VerdictDrop))
}

func (t *Table) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) *nftables.Chain {
	return t.conn.AddChain(&nftables.Chain{Table: t.table(), Name: name, Type: kind, Hooknum: hook, Priority: prio})
}

func (t *Table) rule(c *nftables.Chain, parts ...[]expr.Any) {
	var exprs []expr.Any
	for _, p := range parts {
		exprs = append(exprs, p...)
	}
	t.conn.AddRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: exprs})
}

// translate looks the key up and sends the packet where the value says.
func translate(m *nftables.Set, key ...expr.Any) []expr.Any {
	return append(key,
		&expr.Lookup{SourceRegister: reg0, DestRegister: reg0, IsDestRegSet: true, SetID: m.ID, SetName: m.Name},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: syscall.AF_INET, RegAddrMin: reg0, RegProtoMin: reg1})
}

func (t *Table) from() []expr.Any { return link(expr.MetaKeyIIFNAME, expr.CmpOpEq, t.bridge) }

func (t *Table) to(op expr.CmpOp) []expr.Any { return link(expr.MetaKeyOIFNAME, op, t.bridge) }

func link(key expr.MetaKey, op expr.CmpOp, name string) []expr.Any {
	padded := make([]byte, 16)
	copy(padded, name)
	return []expr.Any{&expr.Meta{Key: key, Register: reg0}, &expr.Cmp{Op: op, Register: reg0, Data: padded}}
}

func protocol(reg uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg} }

func destPort(reg uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: offsetDestPort, Len: 2}
}

func source(reg uint32) expr.Any { return address(reg, offsetSource) }

func dest(reg uint32) expr.Any { return address(reg, offsetDest) }

func address(reg, offset uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4}
}

func inLoopback(field func(uint32) expr.Any) []expr.Any { return inside(field, loopback) }

func inside(field func(uint32) expr.Any, p netip.Prefix) []expr.Any {
	return []expr.Any{
		field(reg0),
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: net.CIDRMask(p.Bits(), 32), Xor: make([]byte, 4)},
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
