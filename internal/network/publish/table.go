// Package publish makes ports of containers reachable by the host's addresses:
// an nftables table of the engine's own, with one map element for each
// published port, and a socket that holds each port on the host.
//
// The table is written as a whole in one transaction; there is no moment
// without its rules. It outlives the engine, so that published ports work on
// after a crash; the sockets don't, and are opened again by Restore.
package publish

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
)

const (
	// perMessage elements fit a message, whose attributes are at most 64 KiB.
	perMessage = 256
	// writeBytes has room for a transaction that publishes every port.
	writeBytes = 16 << 20
)

// Mapping sends what arrives for a port of the host to a container.
type Mapping struct {
	Proto    string // "tcp" or "udp"
	HostIP   netip.Addr
	HostPort uint16
	To       netip.AddrPort
}

// Table is the engine's nftables table.
type Table struct {
	name   string
	bridge string
	subnet netip.Prefix

	// mu keeps the messages of two transactions on the one socket apart.
	mu   sync.Mutex
	conn *nftables.Conn
}

// NewTable prepares the table name for the containers of subnet on bridge.
func NewTable(name, bridge string, subnet netip.Prefix) (*Table, error) {
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return c.SetWriteBuffer(writeBytes)
	}))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return &Table{name: name, bridge: bridge, subnet: subnet.Masked(), conn: conn}, nil
}

// Exists is whether the table is in the kernel.
func (t *Table) Exists() (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tables, err := t.conn.ListTablesOfFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return false, fmt.Errorf("list nftables tables: %w", err)
	}
	for _, have := range tables {
		if have.Name == t.name {
			return true, nil
		}
	}
	return false, nil
}

// Set writes the whole table anew, with exactly the desired mappings. It asks
// for them when no other change can come between, so desired must not wait.
func (t *Table) Set(desired func() []Mapping) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Adding comes first because deleting what is not there is an error.
	t.conn.AddTable(t.table())
	t.conn.DelTable(t.table())
	t.conn.AddTable(t.table())
	if err := t.addRules(desired()); err != nil {
		return fmt.Errorf("write nftables table %s: %w", t.name, err)
	}
	return t.flush("write nftables table " + t.name)
}

// Foreign is the names of the chains of others that drop what they don't know
// of the traffic passing through the host: accepting it here does not help then.
func (t *Table) Foreign() ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	chains, err := t.conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list nftables chains: %w", err)
	}
	var names []string
	for _, c := range chains {
		forward := c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && c.Type == nftables.ChainTypeFilter
		ip := c.Table.Family == nftables.TableFamilyIPv4 || c.Table.Family == nftables.TableFamilyINet
		if forward && ip && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			names = append(names, c.Table.Name+" "+c.Name)
		}
	}
	return names, nil
}

// Add adds mappings, all or none. syscall.ENOENT or EEXIST means that the table
// is not as it was set.
func (t *Table) Add(mappings []Mapping) error {
	return t.change(mappings, t.conn.SetAddElements, "add published ports to")
}

// Remove removes mappings, all or none; one that is not there is
// syscall.ENOENT.
func (t *Table) Remove(mappings []Mapping) error {
	return t.change(mappings, t.conn.SetDeleteElements, "remove published ports from")
}

func (t *Table) change(mappings []Mapping, do func(*nftables.Set, []nftables.SetElement) error, what string) error {
	if len(mappings) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	any, one := elements(mappings)
	for _, part := range []struct {
		set  *nftables.Set
		with []nftables.SetElement
	}{{t.anyAddress(), any}, {t.oneAddress(), one}} {
		for some := range slices.Chunk(part.with, perMessage) {
			if err := do(part.set, some); err != nil {
				return fmt.Errorf("%s table %s: %w", what, t.name, err)
			}
		}
	}
	return t.flush(what + " table " + t.name)
}

// Delete removes the table; it may be gone.
func (t *Table) Delete() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn.DelTable(t.table())
	err := t.flush("delete nftables table " + t.name)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return err
}

// Close ends the connection to the kernel; the table stays.
func (t *Table) Close() error { return t.conn.CloseLasting() }

func (t *Table) flush(what string) error {
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (t *Table) table() *nftables.Table {
	return &nftables.Table{Name: t.name, Family: nftables.TableFamilyIPv4}
}
