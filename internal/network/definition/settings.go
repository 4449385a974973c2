package definition

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// The options of the bridge driver. Those of other names are kept and shown.
const (
	bridgeName  = "com.docker.network.bridge.name"
	bridgeICC   = "com.docker.network.bridge.enable_icc"
	bridgeMasq  = "com.docker.network.bridge.enable_ip_masquerade"
	bridgeHost4 = "com.docker.network.bridge.host_binding_ipv4"
	bridgeMTU   = "com.docker.network.driver.mtu"
	gatewayV4   = "com.docker.network.bridge.gateway_mode_ipv4"
	gatewayV6   = "com.docker.network.bridge.gateway_mode_ipv6"
	enableIPv4  = "com.docker.network.enable_ipv4"
	enableIPv6  = "com.docker.network.enable_ipv6"
	ifacePrefix = "com.docker.network.container_iface_prefix"
)

// leastMTU is the kernel's for IPv4.
const leastMTU = 68

// Settings are a network's as the kernel is told.
type Settings struct {
	Bridge     string // name of the link, "" to be made of the ID
	MTU        int    // 0: the kernel's default
	Internal   bool
	ICC        bool
	Masquerade bool
	HostIP     netip.Addr // where ports are published that say nothing else; invalid: everywhere
	LinkPrefix string     // of links inside: eth
	V4, V6     Subnet
}

// Subnet is one family of a network; the zero value: there is none.
type Subnet struct {
	Prefix   netip.Prefix
	Range    netip.Prefix // what dynamic addresses are from; invalid: all
	Gateway  netip.Addr
	Reserved []netip.Addr
}

// Is reports whether there is such a subnet.
func (s Subnet) Is() bool { return s.Prefix.IsValid() }

// Bridge is the address of the host in the subnet.
func (s Subnet) Bridge() netip.Prefix { return netip.PrefixFrom(s.Gateway, s.Prefix.Bits()) }

var linkName = regexp.MustCompile(`^[^\s/%:]{1,15}$`)

// Read returns a definition's settings; InvalidArgument names the option.
func Read(n network.Network) (Settings, error) {
	s := Settings{Internal: n.Internal, ICC: true, Masquerade: true, LinkPrefix: "eth"}
	var err error
	for key, value := range n.Options {
		switch key {
		case bridgeName:
			if s.Bridge = value; value != "" && (!linkName.MatchString(value) || value == "." || value == "..") {
				err = wrong(key, value, "a link's name has 1 to 15 characters, none of them a slash or a space")
			}
		case bridgeICC:
			s.ICC, err = parseBool(key, value)
		case bridgeMasq:
			s.Masquerade, err = parseBool(key, value)
		case bridgeHost4:
			if s.HostIP, err = netip.ParseAddr(value); err != nil {
				err = wrong(key, value, "it is no IP address")
			}
		case bridgeMTU:
			if s.MTU, err = strconv.Atoi(value); err != nil || s.MTU != 0 && (s.MTU < leastMTU || s.MTU > 65535) {
				err = wrong(key, value, "it is neither 0 nor a number from 68 to 65535")
			}
		case gatewayV4, gatewayV6:
			if value != "nat" && value != "" {
				err = errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("option %s=%s: only nat is supported", key, value))
			}
		case ifacePrefix:
			if s.LinkPrefix = value; !linkName.MatchString(value) || len(value) > 12 {
				err = wrong(key, value, "it is no beginning of a link's name")
			}
		}
		if err != nil {
			return s, err
		}
	}
	for _, c := range n.IPAM.Config {
		sub := Subnet{Prefix: c.Subnet, Range: c.IPRange, Gateway: c.Gateway}
		for _, a := range c.AuxAddress {
			sub.Reserved = append(sub.Reserved, a)
		}
		if c.Subnet.Addr().Is4() {
			s.V4 = sub
		} else {
			s.V6 = sub
		}
	}
	return s, nil
}

func parseBool(key, value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, wrong(key, value, "write true or false")
	}
	return b, nil
}

func wrong(key, value, why string) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid value %q of option %s: %s", value, key, why))
}
