// Package listen opens the embedded DNS server's place in a container's network
// namespace: two sockets at 127.0.0.11, and rules by which port 53 of that
// address is theirs.
//
// The sockets have a port of their own, so a program in the container can bind
// port 53 of every address. The rules rewrite the two port numbers of packets
// that do not leave the namespace, without connection tracking: the container's
// other traffic is not tracked for it, and nothing is remembered per query.
//
// The rules are the table Table, which lives as long as the namespace; Open
// writes it as a whole, so it may be called again for a namespace whose sockets
// were lost.
package listen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/berth-containers/berth/internal/sys/packet"
)

// Table is the name of the nftables table inside.
const Table = "berth-dns"

// Port is DNS's.
const Port = 53

// Address is the server's in every container.
func Address() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 11}) }

// Sockets are the server's in one namespace.
type Sockets struct {
	UDP, TCP *packet.Socket
}

// Close closes what is open; the zero value has nothing.
func (s Sockets) Close() {
	if s.UDP != nil {
		s.UDP.Close()
	}
	if s.TCP != nil {
		s.TCP.Close()
	}
}

// Open opens the sockets and writes the rules in the calling thread's network
// namespace, whose lo must be up.
func Open() (s Sockets, err error) {
	defer func() {
		if err != nil {
			s.Close()
			s, err = Sockets{}, fmt.Errorf("open DNS server of a container: %w", err)
		}
	}()
	if s.UDP, err = packet.ListenUDP(netip.AddrPortFrom(Address(), 0)); err != nil {
		return s, err
	}
	if s.TCP, err = packet.ListenTCP(netip.AddrPortFrom(Address(), 0)); err != nil {
		return s, err
	}
	udp, err := s.UDP.Local()
	if err != nil {
		return s, err
	}
	tcp, err := s.TCP.Local()
	if err != nil {
		return s, err
	}
	return s, writeRules(udp.Port(), tcp.Port())
}

// Header offsets.
const (
	sourceAddress, destAddress = 12, 16
	sourcePort, destPort       = 0, 2
	udpChecksum, tcpChecksum   = 6, 16
)

const reg = 1

// writeRules writes the table. Taking away one that is there costs more than 10 ms
// of waiting, so that is only done if there is one.
func writeRules(udp, tcp uint16) error {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := &nftables.Table{Name: Table, Family: nftables.TableFamilyIPv4}
	addRules(conn, table, udp, tcp)
	err = conn.Flush()
	if errors.Is(err, syscall.EEXIST) {
		conn.DelTable(table)
		addRules(conn, table, udp, tcp)
		err = conn.Flush()
	}
	if err := errors.Join(err, conn.CloseLasting()); err != nil {
		return fmt.Errorf("write nftables table %s: %w", Table, err)
	}
	return nil
}

// addRules queues the table; both directions of every exchange pass the output
// hook, because client and server are in one namespace.
func addRules(conn *nftables.Conn, table *nftables.Table, udp, tcp uint16) {
	conn.CreateTable(table)
	chain := conn.AddChain(&nftables.Chain{Table: table, Name: "output", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityRaw})
	for _, r := range [][]expr.Any{
		rewrite(destAddress, syscall.IPPROTO_UDP, destPort, Port, udp, udpChecksum),
		rewrite(sourceAddress, syscall.IPPROTO_UDP, sourcePort, udp, Port, udpChecksum),
		rewrite(destAddress, syscall.IPPROTO_TCP, destPort, Port, tcp, tcpChecksum),
		rewrite(sourceAddress, syscall.IPPROTO_TCP, sourcePort, tcp, Port, tcpChecksum),
	} {
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: r})
	}
}

// rewrite changes one port of the packets that have the server's address and
// that port at the given places.
func rewrite(address uint32, protocol byte, port uint32, from, to uint16, checksum uint32) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: address, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: Address().AsSlice()},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{protocol}},
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: port, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: binary.BigEndian.AppendUint16(nil, from)},
		&expr.Immediate{Register: reg, Data: binary.BigEndian.AppendUint16(nil, to)},
		&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: reg, Base: expr.PayloadBaseTransportHeader,
			Offset: port, Len: 2, CsumType: expr.CsumTypeInet, CsumOffset: checksum},
	}
}
