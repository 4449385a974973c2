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

// Mapping sends what arrives for a port of the host to a container. HostIP and
// To are of one family.
type Mapping struct {
	Proto    string // "tcp" or "udp"
	HostIP   netip.Addr
	HostPort uint16
	To       netip.AddrPort
}

// Bridge is one network as the rules see it.
type Bridge struct {
	Links      []string       // of its bridges, the one with the addresses first
	Subnets    []netip.Prefix // at most one of each family
	Internal   bool           // nothing passes between it and anything else
	ICC        bool           // its containers may reach each other
	Masquerade bool           // what leaves it has the host's address
}

// State is what the table is to be.
type State struct {
	Bridges  []Bridge
	Mappings []Mapping
}

// Table is the engine's nftables table, of IPv4 and, once a network has it, of
// IPv6 under the same name.
type Table struct {
	name string

	// mu keeps the messages of two transactions on the one socket apart.
	mu   sync.Mutex
	conn *nftables.Conn
	six  bool // there is one of IPv6
}

// NewTable prepares the table name.
func NewTable(name string) (*Table, error) {
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return c.SetWriteBuffer(writeBytes)
	}))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return &Table{name: name, conn: conn}, nil
}

// Exists is whether the table is in the kernel.
func (t *Table) Exists() (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tables, err := t.conn.ListTables()
	if err != nil {
		return false, fmt.Errorf("list nftables tables: %w", err)
	}
	there := false
	for _, have := range tables {
		there = there || have.Name == t.name && have.Family == nftables.TableFamilyIPv4
		t.six = t.six || have.Name == t.name && have.Family == nftables.TableFamilyIPv6
	}
	return there, nil
}

// Set writes the whole table anew, with exactly what is desired. It asks for
// that when no other change can come between, so desired must not wait.
func (t *Table) Set(desired func() State) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	state := desired()
	six := slices.ContainsFunc(state.Bridges, func(b Bridge) bool { return slices.ContainsFunc(b.Subnets, ipv6.has) })
	families := []family{ipv4}
	if six || t.six {
		families = append(families, ipv6)
	}
	for _, f := range families {
		// Adding comes first because deleting what is not there is an error.
		half := half{t.conn, f, t.table(f)}
		t.conn.AddTable(half.table)
		t.conn.DelTable(half.table)
		if f == ipv6 && !six {
			continue
		}
		t.conn.AddTable(half.table)
		if err := half.addRules(state); err != nil {
			return fmt.Errorf("write nftables table %s: %w", t.name, err)
		}
	}
	if err := t.flush("write nftables table " + t.name); err != nil {
		return err
	}
	t.six = six
	return nil
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
	for _, f := range []family{ipv4, ipv6} {
		half := half{t.conn, f, t.table(f)}
		any, one := half.elements(mappings)
		for _, part := range []struct {
			set  *nftables.Set
			with []nftables.SetElement
		}{{half.anyAddress(), any}, {half.oneAddress(), one}} {
			for some := range slices.Chunk(part.with, perMessage) {
				if err := do(part.set, some); err != nil {
					return fmt.Errorf("%s table %s: %w", what, t.name, err)
				}
			}
		}
	}
	return t.flush(what + " table " + t.name)
}

// Delete removes the table; it may be gone.
func (t *Table) Delete() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range []family{ipv4, ipv6} {
		if f == ipv6 && !t.six {
			continue
		}
		t.conn.DelTable(t.table(f))
		if err := t.flush("delete nftables table " + t.name); err != nil && !errors.Is(err, syscall.ENOENT) {
			return err
		}
	}
	t.six = false
	return nil
}

// Close ends the connection to the kernel; the table stays.
func (t *Table) Close() error { return t.conn.CloseLasting() }

func (t *Table) flush(what string) error {
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (t *Table) table(f family) *nftables.Table {
	return &nftables.Table{Name: t.name, Family: f.table}
}
