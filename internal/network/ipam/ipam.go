// Package ipam hands out the addresses of one subnet. It goes round: an address
// that was given back comes again only after all others had their turn.
//
// The file says where the round stands. It is written ahead, once for many
// addresses, so after a crash some are skipped and none comes early.
package ipam

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/bits"
	"net/netip"
	"os"
	"sync"

	"github.com/containerd/errdefs"
)

// MaxHosts bounds the addresses of a subnet that are used.
const MaxHosts = 1 << 20

// ahead is how many addresses are handed out between two writes of the file.
const ahead = 256

// State is what the file keeps.
type State struct {
	Subnet netip.Prefix `json:"subnet"`
	Next   uint32       `json:"next"` // offset in the subnet
}

// Load reads the file; one that does not exist is the zero State.
func Load(path string) (State, error) {
	var s State
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read address state: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return State{}, fmt.Errorf("read address state %s: %w", path, err)
	}
	if s.Subnet.IsValid() && (!s.Subnet.Addr().Is4() || s.Subnet != s.Subnet.Masked()) {
		return State{}, fmt.Errorf("read address state %s: %s is no IPv4 subnet", path, s.Subnet)
	}
	return s, nil
}

// Pool is the addresses of one subnet.
type Pool struct {
	path   string
	subnet netip.Prefix
	base   netip.Addr // offsets count from here
	first  uint32     // offsets first … last are handed out
	last   uint32

	mu    sync.Mutex
	used  map[netip.Addr]bool
	next  uint32
	steps uint32 // since the file was written

	saving sync.Mutex
}

// New returns the addresses of s.Subnet, of IPv4, with none in use, and writes s to path.
func New(path string, s State) (*Pool, error) {
	p, err := Within(s.Subnet, netip.Prefix{})
	if err == nil && !s.Subnet.Addr().Is4() {
		err = errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("subnet %s is none of IPv4", s.Subnet))
	}
	if err != nil {
		return nil, err
	}
	p.path, p.next = path, s.Next
	return p, p.save()
}

// Within returns the addresses of a subnet with none in use, of which those of
// part are handed out; part may be invalid: all. The round is kept in memory.
func Within(subnet, part netip.Prefix) (*Pool, error) {
	if !subnet.IsValid() || subnet.Addr().BitLen()-subnet.Bits() < 2 {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("subnet %s has no room for containers", subnet))
	}
	subnet = subnet.Masked()
	if !part.IsValid() {
		part = subnet
	}
	p := &Pool{subnet: subnet, base: part.Masked().Addr(), used: map[netip.Addr]bool{}}
	p.last = uint32(min(1<<min(part.Addr().BitLen()-part.Bits(), 31), MaxHosts) - 1)
	if p.base == subnet.Addr() {
		p.first = 1
	}
	if p.reserved(p.addr(p.last)) {
		if p.last <= p.first {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("ip-range %s has no address of a container in subnet %s: give it a larger one", part, subnet))
		}
		p.last--
	}
	return p, nil
}

// reserved is whether an address can be no host's: the subnet's own, or the
// broadcast address.
func (p *Pool) reserved(a netip.Addr) bool {
	return a == p.subnet.Addr() || a.Is4() && !p.subnet.Contains(a.Next())
}

// Next takes the next free address.
func (p *Pool) Next() (netip.Addr, error) {
	p.mu.Lock()
	var found netip.Addr
	for range p.last - p.first + 1 {
		o := p.wrap(p.next)
		p.next = o + 1
		p.steps++
		if a := p.addr(o); !p.used[a] {
			p.used[a] = true
			found = a
			break
		}
	}
	due := p.steps >= ahead
	p.mu.Unlock()
	if !found.IsValid() {
		return netip.Addr{}, errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("no available IPv%c addresses on this network's address pool: all of subnet %s are in use", family(p.subnet), p.subnet))
	}
	if due {
		if err := p.save(); err != nil {
			p.Free(found)
			return netip.Addr{}, err
		}
	}
	return found, nil
}

func family(p netip.Prefix) rune {
	if p.Addr().Is4() {
		return '4'
	}
	return '6'
}

// Claim takes an address if it is free, also one that is not handed out.
func (p *Pool) Claim(a netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.subnet.Contains(a) || p.reserved(a) || p.used[a] {
		return false
	}
	p.used[a] = true
	return true
}

// Free gives an address back.
func (p *Pool) Free(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, a)
}

// Used is how many addresses are taken, and how many can still be handed out.
func (p *Pool) Used() (used, free uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a := range p.used {
		if o := p.Offset(a); o >= p.first && o <= p.last && p.addr(o) == a {
			free--
		}
	}
	return uint64(len(p.used)), free + uint64(p.last-p.first+1)
}

// Count is how many addresses are taken.
func (p *Pool) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.used)
}

// Offset is the address's place among those that are handed out, 0 for one
// before them or far behind them.
func (p *Pool) Offset(a netip.Addr) uint32 {
	if !p.subnet.Contains(a) || a.Less(p.base) {
		return 0
	}
	high, low := halves(a)
	baseHigh, baseLow := halves(p.base)
	low, borrow := bits.Sub64(low, baseLow, 0)
	if high, _ = bits.Sub64(high, baseHigh, borrow); high != 0 || low > math.MaxUint32 {
		return 0
	}
	return uint32(low)
}

// Subnet is the subnet.
func (p *Pool) Subnet() netip.Prefix { return p.subnet }

func (p *Pool) wrap(o uint32) uint32 {
	if o < p.first || o > p.last {
		return p.first
	}
	return o
}

func (p *Pool) addr(o uint32) netip.Addr {
	high, low := halves(p.base)
	low, carry := bits.Add64(low, uint64(o), 0)
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], high+carry)
	binary.BigEndian.PutUint64(b[8:], low)
	a := netip.AddrFrom16(b)
	if p.base.Is4() {
		return a.Unmap()
	}
	return a
}

func halves(a netip.Addr) (high, low uint64) {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// save needs no fsync: a file lost in a power failure only starts the round
// again, when no container lives.
func (p *Pool) save() error {
	if p.path == "" {
		return nil
	}
	p.saving.Lock()
	defer p.saving.Unlock()
	p.mu.Lock()
	s := State{Subnet: p.subnet, Next: p.wrap(p.next + ahead)}
	p.steps = 0
	p.mu.Unlock()
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write address state: %w", err)
	}
	tmp := p.path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("write address state: %w", err)
	}
	if err := os.Rename(tmp, p.path); err != nil {
		return fmt.Errorf("write address state: %w", err)
	}
	return nil
}
