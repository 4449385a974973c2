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
	hosts  uint32 // offsets 1 … hosts are usable

	mu    sync.Mutex
	used  map[uint32]bool
	next  uint32
	steps uint32 // since the file was written

	saving sync.Mutex
}

// New returns the addresses of s.Subnet with none in use, and writes s to path.
func New(path string, s State) (*Pool, error) {
	bits := 32 - s.Subnet.Bits()
	if !s.Subnet.Addr().Is4() || bits < 2 {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("subnet %s has no room for containers", s.Subnet))
	}
	hosts := uint32(1<<min(bits, 31)) - 2
	p := &Pool{path: path, subnet: s.Subnet.Masked(), hosts: min(hosts, MaxHosts-2), used: map[uint32]bool{}, next: s.Next}
	return p, p.save()
}

// Next takes the next free address.
func (p *Pool) Next() (netip.Addr, error) {
	p.mu.Lock()
	var found uint32
	for range p.hosts {
		o := p.wrap(p.next)
		p.next = o + 1
		p.steps++
		if !p.used[o] {
			p.used[o] = true
			found = o
			break
		}
	}
	due := p.steps >= ahead
	p.mu.Unlock()
	if found == 0 {
		return netip.Addr{}, errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("no free address in subnet %s", p.subnet))
	}
	if due {
		if err := p.save(); err != nil {
			p.Free(p.addr(found))
			return netip.Addr{}, err
		}
	}
	return p.addr(found), nil
}

// Claim takes an address if it is free.
func (p *Pool) Claim(a netip.Addr) bool {
	o := p.Offset(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	if o == 0 || o > p.hosts || p.used[o] {
		return false
	}
	p.used[o] = true
	return true
}

// Free gives an address back.
func (p *Pool) Free(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, p.Offset(a))
}

// Offset is the address's place in the subnet, 0 for one outside.
func (p *Pool) Offset(a netip.Addr) uint32 {
	if !p.subnet.Contains(a) {
		return 0
	}
	return number(a) - number(p.subnet.Addr())
}

// Subnet is the subnet.
func (p *Pool) Subnet() netip.Prefix { return p.subnet }

func (p *Pool) wrap(o uint32) uint32 {
	if o == 0 || o > p.hosts {
		return 1
	}
	return o
}

func (p *Pool) addr(o uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], number(p.subnet.Addr())+o)
	return netip.AddrFrom4(b)
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// save needs no fsync: a file lost in a power failure only starts the round
// again, when no container lives.
func (p *Pool) save() error {
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
