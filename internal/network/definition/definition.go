// Package definition checks what is asked of a new network, fills in what was
// left open, and reads it again as settings. It is pure: what the host has is
// given to it.
//
// A definition is Docker's own description of a network, so what is stored is
// what inspect shows.
package definition

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// Driver is the only driver of user-defined networks.
const Driver = "bridge"

// BuiltinID is the ID of one of the networks that every engine has; seed tells
// engines apart.
func BuiltinID(seed, name string) string {
	sum := sha256.Sum256([]byte("network " + name + " of " + seed))
	return hex.EncodeToString(sum[:])
}

// Predefined is whether a network of that name always exists.
func Predefined(name string) bool {
	return slices.Contains([]string{network.NetworkBridge, network.NetworkHost, network.NetworkNone, network.NetworkDefault}, name)
}

// Builtin is the definition of host or none.
func Builtin(seed, name string, created time.Time) network.Network {
	n := network.Network{Name: name, ID: BuiltinID(seed, name), Created: created, Scope: "local", Driver: name, EnableIPv4: true,
		IPAM: network.IPAM{Driver: "default", Config: []network.IPAMConfig{}}, Options: map[string]string{}, Labels: map[string]string{}}
	if name == network.NetworkNone {
		n.Driver = "null"
	}
	return n
}

// New checks a request and returns the network without what is chosen by what
// is free: its ID, subnets and gateways.
func New(q network.CreateRequest) (network.Network, error) {
	if err := supported(q); err != nil {
		return network.Network{}, err
	}
	n := network.Network{
		Name: q.Name, Created: time.Now().UTC(), Scope: "local", Driver: Driver, EnableIPv4: true,
		Internal: q.Internal, Attachable: q.Attachable, Options: q.Options, Labels: q.Labels,
		IPAM: network.IPAM{Driver: "default", Options: map[string]string{}, Config: []network.IPAMConfig{}},
	}
	if n.Options == nil {
		n.Options = map[string]string{}
	}
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	if err := families(&n, q); err != nil {
		return n, err
	}
	if q.IPAM != nil {
		if q.IPAM.Options != nil {
			n.IPAM.Options = q.IPAM.Options
		}
		if err := checkSubnets(q.IPAM.Config, n.EnableIPv6); err != nil {
			return n, errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
		for _, c := range q.IPAM.Config {
			if c.Subnet.IsValid() && (c.Subnet.Addr().Is4() && n.EnableIPv4 || c.Subnet.Addr().Is6() && n.EnableIPv6) {
				n.IPAM.Config = append(n.IPAM.Config, c)
			}
		}
	}
	_, err := Read(n)
	return n, err
}

// supported refuses, by name, what this engine's networks are not.
func supported(q network.CreateRequest) error {
	forbidden := func(format string, args ...any) error {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(format, args...))
	}
	switch {
	case strings.TrimSpace(q.Name) == "":
		return errdefs.ErrInvalidArgument.WithMessage("invalid name: name is empty")
	case Predefined(q.Name):
		return forbidden("operation is not permitted on predefined %s network ", q.Name)
	case q.Driver == "host" || q.Driver == "null":
		return forbidden("only one instance of %q network is allowed", q.Driver)
	case q.Driver == "overlay" || q.Ingress || q.Scope == "swarm" || q.Scope == "global":
		return forbidden(`This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`)
	case q.ConfigOnly:
		return errdefs.ErrNotImplemented.WithMessage("config-only networks are not supported: give each network its own configuration")
	case q.ConfigFrom != nil && q.ConfigFrom.Network != "":
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("configuration network %q does not exist", q.ConfigFrom.Network))
	case q.Driver != "" && q.Driver != Driver:
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("could not find plugin %s in v1 plugin registry: plugin %q not found", q.Driver, q.Driver))
	case q.IPAM != nil && q.IPAM.Driver != "" && q.IPAM.Driver != "default":
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("could not resolve IPAM driver %q: only default is supported", q.IPAM.Driver))
	}
	return nil
}

// families decides on IPv4 and IPv6: the request's fields, else its options.
func families(n *network.Network, q network.CreateRequest) error {
	for _, f := range []struct {
		option string
		asked  *bool
		is     *bool
	}{{enableIPv4, q.EnableIPv4, &n.EnableIPv4}, {enableIPv6, q.EnableIPv6, &n.EnableIPv6}} {
		if f.asked != nil {
			*f.is = *f.asked
			continue
		}
		value, ok := q.Options[f.option]
		if !ok {
			continue
		}
		is, err := parseBool(f.option, value)
		if err != nil {
			return err
		}
		*f.is = is
	}
	if !n.EnableIPv4 && !n.EnableIPv6 {
		return errdefs.ErrInvalidArgument.WithMessage("IPv4 or IPv6 must be enabled")
	}
	return nil
}

// checkSubnets has Docker's words for what is wrong.
func checkSubnets(configs []network.IPAMConfig, six bool) error {
	var errs []string
	count := map[bool]int{}
	for _, c := range configs {
		is6 := c.Subnet.Addr().Is6()
		if !c.Subnet.IsValid() {
			if c.Gateway.IsValid() || c.IPRange.IsValid() || len(c.AuxAddress) > 0 {
				errs = append(errs, "a gateway, ip-range or auxiliary address needs the subnet that it is in")
			}
			continue
		}
		if is6 && !six {
			continue
		}
		if count[is6]++; count[is6] > 1 {
			return errors.New("bridge driver doesn't support multiple subnets")
		}
		errs = append(errs, checkSubnet(c)...)
	}
	if len(errs) > 0 {
		return fmt.Errorf("invalid network config:\n%s", strings.Join(errs, "\n"))
	}
	return nil
}

func checkSubnet(c network.IPAMConfig) (errs []string) {
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Sprintf(format, args...)) }
	version := 4
	if c.Subnet.Addr().Is6() {
		version = 6
	}
	if c.Subnet != c.Subnet.Masked() {
		wrong("invalid subnet %s: it should be %s", c.Subnet, c.Subnet.Masked())
	}
	if c.Subnet.Addr().BitLen()-c.Subnet.Bits() < 2 {
		wrong("invalid subnet %s: it has no room for a gateway and containers", c.Subnet)
	}
	if a := c.Subnet.Addr(); a.IsLoopback() || a.IsMulticast() || a.Is4In6() {
		wrong("invalid subnet %s: no container can have an address of it", c.Subnet)
	}
	if r := c.IPRange; r.IsValid() {
		switch {
		case r.Addr().BitLen() != c.Subnet.Addr().BitLen():
			wrong("invalid ip-range %s: parent subnet is an IPv%d block", r, version)
		case r.Bits() < c.Subnet.Bits():
			wrong("invalid ip-range %s: CIDR block is bigger than its parent subnet %s", r, c.Subnet)
		case r != r.Masked():
			wrong("invalid ip-range %s: it should be %s", r, r.Masked())
		case !c.Subnet.Overlaps(r):
			wrong("invalid ip-range %s: parent subnet %s doesn't contain ip-range", r, c.Subnet)
		}
	}
	check := func(what string, a netip.Addr) {
		switch {
		case !a.IsValid():
		case a.BitLen() != c.Subnet.Addr().BitLen():
			wrong("invalid %s: parent subnet is an IPv%d block", what, version)
		case !c.Subnet.Contains(a):
			wrong("invalid %s: parent subnet %s doesn't contain this address", what, c.Subnet)
		}
	}
	check("gateway "+c.Gateway.String(), c.Gateway)
	for name, a := range c.AuxAddress {
		check("auxiliary address "+name, a)
	}
	return errs
}

// Complete gives the network an ID and the subnets and gateways that were left
// open. taken are the subnets of other networks, routed is what else the host
// has addresses in and routes to; seed tells engines apart.
func Complete(n *network.Network, id, seed string, taken, routed []netip.Prefix) error {
	n.ID = id
	for _, six := range []bool{false, true} {
		if six && !n.EnableIPv6 || !six && !n.EnableIPv4 {
			continue
		}
		i := slices.IndexFunc(n.IPAM.Config, func(c network.IPAMConfig) bool { return c.Subnet.Addr().Is6() == six })
		if i < 0 {
			subnet, ok := pick(six, seed, slices.Concat(taken, routed))
			if !ok {
				return errdefs.ErrInvalidArgument.WithMessage("all predefined address pools have been fully subnetted: name a subnet with --subnet")
			}
			n.IPAM.Config, i = append(n.IPAM.Config, network.IPAMConfig{Subnet: subnet}), len(n.IPAM.Config)
		} else if clash(n.IPAM.Config[i].Subnet, taken) {
			return errdefs.ErrPermissionDenied.WithMessage("invalid pool request: Pool overlaps with other one on this address space")
		}
		c := &n.IPAM.Config[i]
		if !c.Gateway.IsValid() {
			c.Gateway = c.Subnet.Addr()
			if c.IPRange.IsValid() {
				c.Gateway = c.IPRange.Addr()
			}
			if c.Gateway == c.Subnet.Addr() {
				c.Gateway = c.Gateway.Next()
			}
		}
	}
	slices.SortStableFunc(n.IPAM.Config, func(a, b network.IPAMConfig) int { return a.Subnet.Addr().BitLen() - b.Subnet.Addr().BitLen() })
	return nil
}

func clash(p netip.Prefix, with []netip.Prefix) bool { return slices.ContainsFunc(with, p.Overlaps) }

// pick finds a subnet that is free: a /24 of the private ranges, or a /64 of
// the engine's own ULA prefix.
func pick(six bool, seed string, used []netip.Prefix) (netip.Prefix, bool) {
	next := candidates4
	if six {
		next = func(yield func(netip.Prefix) bool) { candidates6(seed, yield) }
	}
	for p := range next {
		if !clash(p, used) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// candidates4 begins where other engines' and companies' networks are least.
func candidates4(yield func(netip.Prefix) bool) {
	slash24 := func(a, b, c int) bool {
		return yield(netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a), byte(b), byte(c), 0}), 24))
	}
	for b := 18; b < 32; b++ {
		for c := range 256 {
			if !slash24(172, b, c) {
				return
			}
		}
	}
	for c := 255; c >= 0; c-- {
		if !slash24(192, 168, c) {
			return
		}
	}
	for b := 255; b >= 0; b-- {
		for c := range 256 {
			if !slash24(10, b, c) {
				return
			}
		}
	}
}

// candidates6 are those of fdxx:xxxx:xxxx::/48 (RFC 4193), so engines' networks
// can be joined later.
func candidates6(seed string, yield func(netip.Prefix) bool) {
	sum := sha256.Sum256([]byte("ULA of " + seed))
	for i := range 1 << 16 {
		b := [16]byte{0xfd}
		copy(b[1:6], sum[:])
		b[6], b[7] = byte(i>>8), byte(i)
		if !yield(netip.PrefixFrom(netip.AddrFrom16(b), 64)) {
			return
		}
	}
}
