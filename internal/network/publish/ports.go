package publish

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/sys/portsock"
)

// The ports that are given where none was asked for, as Docker's.
const firstRandom, lastRandom = 49153, 65535

// claim is one port of the host that is held, or about to be.
type claim struct {
	port container.Port
	sock *os.File
}

// Ports holds ports of the host, each by a socket.
type Ports struct {
	mu     sync.Mutex
	claims map[string][]*claim // by container ID
}

// NewPorts holds none.
func NewPorts() *Ports { return &Ports{claims: map[string][]*claim{}} }

// Reserve holds the ports for a container, all or none, and returns them with
// each HostIP and HostPort filled in; one without a HostIP is held on each of
// everywhere, by one number. Those that leave no choice come first.
func (p *Ports) Reserve(owner string, ports []container.Port, everywhere []netip.Addr) ([]container.Port, error) {
	held := make([][]container.Port, len(ports))
	for _, fixed := range []bool{true, false} {
		for i, want := range ports {
			if fixed != leavesNoChoice(want) {
				continue
			}
			want, err := normal(want)
			if err == nil {
				hosts := everywhere
				if want.HostIP.IsValid() {
					hosts = []netip.Addr{want.HostIP}
				}
				held[i], err = p.reserve(owner, want, hosts)
			}
			if err != nil {
				p.Release(owner)
				return nil, err
			}
		}
	}
	return slices.Concat(held...), nil
}

// Held are the ports that are held for a container.
func (p *Ports) Held(owner string) []container.Port {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ports []container.Port
	for _, c := range p.claims[owner] {
		ports = append(ports, c.port)
	}
	return ports
}

// Adopt holds the ports of a container that was published before and returns
// those that are its. What a program has taken meanwhile is in the error and
// stays the container's; what another container has, or makes no sense, does not.
func (p *Ports) Adopt(owner string, ports []container.Port) ([]container.Port, error) {
	var (
		own  []container.Port
		errs []error
	)
	for _, port := range ports {
		port, err := normal(port)
		c := &claim{port: port}
		if err == nil {
			err = p.add(owner, c)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		own = append(own, port)
		if err := p.open(c); err != nil {
			errs = append(errs, inUse(c.port, programOn(c.port), err))
		}
	}
	return own, errors.Join(errs...)
}

// Release gives the ports of a container back.
func (p *Ports) Release(owner string) {
	p.mu.Lock()
	gone := p.claims[owner]
	delete(p.claims, owner)
	p.mu.Unlock()
	closeAll(gone)
}

// Close gives all sockets back.
func (p *Ports) Close() {
	p.mu.Lock()
	all := p.claims
	p.claims = map[string][]*claim{}
	p.mu.Unlock()
	for _, claims := range all {
		closeAll(claims)
	}
}

func closeAll(claims []*claim) {
	for _, c := range claims {
		if c.sock != nil {
			c.sock.Close()
		}
	}
}

// leavesNoChoice is whether one number is asked for, not any or one of a range.
func leavesNoChoice(p container.Port) bool { return p.HostPort != 0 && p.LastHostPort <= p.HostPort }

func normal(p container.Port) (container.Port, error) {
	p.Proto = cmp.Or(p.Proto, "tcp")
	if p.Proto != "tcp" && p.Proto != "udp" {
		return p, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("port %d/%s: only tcp and udp can be published", p.ContainerPort, p.Proto))
	}
	if p.ContainerPort == 0 {
		return p, errdefs.ErrInvalidArgument.WithMessage("-p: container port 0 cannot be published")
	}
	p.HostIP = p.HostIP.Unmap()
	if p.HostIP == netip.IPv6Loopback() {
		return p, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"-p [::1]:%d:%d: Linux leads nothing from ::1 to a container; use 127.0.0.1, or another address of the host", p.HostPort, p.ContainerPort))
	}
	return p, nil
}

// reserve holds one port on each of hosts: that, the first free one of its
// range, or any.
func (p *Ports) reserve(owner string, want container.Port, hosts []netip.Addr) ([]container.Port, error) {
	if len(hosts) == 0 {
		return nil, nil
	}
	first, last, from := want.HostPort, max(want.HostPort, want.LastHostPort), 0
	if first == 0 {
		first, last, from = firstRandom, lastRandom, rand.IntN(lastRandom-firstRandom+1)
	}
	asked := want.HostPort
	want.LastHostPort = 0
	n := int(last-first) + 1
	for i := range n {
		want.HostPort = first + uint16((from+i)%n)
		held, err := p.holdAll(owner, want, hosts)
		if n == 1 || !errdefs.IsAlreadyExists(err) {
			return held, err
		}
	}
	if asked == 0 {
		return nil, errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("no free %s port from %d to %d on %s", want.Proto, first, last, hosts[0]))
	}
	return nil, errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("Bind for %s:%d-%d failed: port is already allocated: no %s port of the range is free", hosts[0], first, last, want.Proto))
}

func (p *Ports) holdAll(owner string, port container.Port, hosts []netip.Addr) ([]container.Port, error) {
	var ports []container.Port
	var claims []*claim
	for _, host := range hosts {
		port.HostIP = host
		c, err := p.hold(owner, port)
		if err != nil {
			for _, c := range claims {
				p.drop(owner, c)
				c.sock.Close()
			}
			return nil, err
		}
		claims, ports = append(claims, c), append(ports, port)
	}
	return ports, nil
}

func (p *Ports) hold(owner string, port container.Port) (*claim, error) {
	c := &claim{port: port}
	if err := p.add(owner, c); err != nil {
		return nil, err
	}
	err := p.open(c)
	if err == nil {
		return c, nil
	}
	p.drop(owner, c)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, inUse(port, programOn(port), err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"Bind for %s failed: no interface of this host has the address %s", netip.AddrPortFrom(port.HostIP, port.HostPort), port.HostIP))
	}
	return nil, err
}

// inUse is Docker's wording, and who has the port where that is known.
func inUse(port container.Port, by string, cause error) error {
	if cause != nil && !errors.Is(cause, syscall.EADDRINUSE) {
		return cause
	}
	msg := fmt.Sprintf("Bind for %s failed: port is already allocated", netip.AddrPortFrom(port.HostIP, port.HostPort))
	if by != "" {
		msg += " (in use by " + by + ")"
	}
	return errdefs.ErrAlreadyExists.WithMessage(msg)
}

// add enters a claim unless another container has the port.
func (p *Ports) add(owner string, c *claim) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for holder, claims := range p.claims {
		for _, other := range claims {
			if clash(c.port, other.port) {
				return inUse(c.port, "container "+short(holder), nil)
			}
		}
	}
	p.claims[owner] = append(p.claims[owner], c)
	return nil
}

func (p *Ports) drop(owner string, c *claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.claims[owner] {
		if other == c {
			p.claims[owner] = append(p.claims[owner][:i:i], p.claims[owner][i+1:]...)
		}
	}
	if len(p.claims[owner]) == 0 {
		delete(p.claims, owner)
	}
}

// open binds the claim's socket; the claim may have been released meanwhile.
func (p *Ports) open(c *claim) error {
	sock, err := portsock.Reserve(c.port.Proto, netip.AddrPortFrom(c.port.HostIP, c.port.HostPort))
	if err != nil {
		return err
	}
	p.mu.Lock()
	c.sock = sock
	p.mu.Unlock()
	return nil
}

func clash(a, b container.Port) bool {
	return a.Proto == b.Proto && a.HostPort == b.HostPort && a.HostIP.Is4() == b.HostIP.Is4() &&
		(a.HostIP == b.HostIP || a.HostIP.IsUnspecified() || b.HostIP.IsUnspecified())
}

func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
