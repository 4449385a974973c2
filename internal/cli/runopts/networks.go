package runopts

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

func checkAddress(s string) error {
	if _, err := netip.ParseAddr(s); err != nil {
		return errors.New("write an IP address")
	}
	return nil
}

// checkHost reads name:address and name=address; host-gateway is the engine's.
func checkHost(s string) error {
	_, err := parseHost(s)
	return err
}

func parseHost(s string) (string, error) {
	name, address, ok := strings.Cut(s, "=")
	if !ok {
		name, address, ok = strings.Cut(s, ":")
	}
	if !ok || name == "" {
		return "", errors.New("write HOST:IP")
	}
	address = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	if address != "host-gateway" {
		if err := checkAddress(address); err != nil {
			return "", fmt.Errorf("invalid IP address %q", address)
		}
	}
	return name + ":" + address, nil
}

func (f *Flags) buildNames(c *container.Config, h *container.HostConfig) error {
	c.Hostname, c.Domainname = f.hostname, f.domainname
	for _, v := range f.addHost.values {
		mapping, err := parseHost(v)
		if err != nil {
			return f.invalid("add-host", v, err)
		}
		h.ExtraHosts = append(h.ExtraHosts, mapping)
	}
	for _, v := range f.dns.values {
		address, err := netip.ParseAddr(v)
		if err != nil {
			return f.invalid("dns", v, err)
		}
		h.DNS = append(h.DNS, address)
	}
	h.DNSSearch, h.DNSOptions, h.Links = f.dnsSearch.values, f.dnsOption.values, f.link.values
	return nil
}

// attachment is one --network.
type attachment struct {
	name     string
	settings network.EndpointSettings
	detailed bool // more than a name was given
}

// parseNetwork reads NAME, or name=…,alias=…,ip=….
func parseNetwork(s string) (attachment, error) {
	if !strings.Contains(s, "=") {
		if s == "" || s == "container:" {
			return attachment{}, errors.New("the name is missing")
		}
		return attachment{name: s}, nil
	}
	a := attachment{detailed: true}
	for _, field := range strings.Split(s, ",") {
		key, value, _ := strings.Cut(field, "=")
		if value == "" {
			return a, fmt.Errorf("invalid field %q: write key=value", field)
		}
		var err error
		switch strings.ToLower(key) {
		case "name":
			a.name = value
		case "alias":
			a.settings.Aliases = append(a.settings.Aliases, value)
		case "driver-opt":
			if err = checkPair(value); err == nil {
				k, v, _ := strings.Cut(value, "=")
				if a.settings.DriverOpts == nil {
					a.settings.DriverOpts = map[string]string{}
				}
				a.settings.DriverOpts[k] = v
			}
		case "ip", "ip6", "link-local-ip":
			err = a.address(strings.ToLower(key), value)
		case "mac-address":
			err = a.hardware(value)
		case "gw-priority":
			_, err = fmt.Sscanf(value, "%d", &a.settings.GwPriority)
		default:
			return a, fmt.Errorf("unknown field %q", key)
		}
		if err != nil {
			return a, fmt.Errorf("invalid value for %s: %w", key, err)
		}
	}
	if a.name == "" {
		return a, errors.New("the field name is missing")
	}
	return a, nil
}

func (a *attachment) address(kind, value string) error {
	ip, err := netip.ParseAddr(value)
	if err != nil {
		return fmt.Errorf("%q is not an IP address", value)
	}
	if a.settings.IPAMConfig == nil {
		a.settings.IPAMConfig = &network.EndpointIPAMConfig{}
	}
	a.detailed = true
	switch kind {
	case "ip":
		a.settings.IPAMConfig.IPv4Address = ip
	case "ip6":
		a.settings.IPAMConfig.IPv6Address = ip
	default:
		a.settings.IPAMConfig.LinkLocalIPs = append(a.settings.IPAMConfig.LinkLocalIPs, ip)
	}
	return nil
}

func (a *attachment) hardware(value string) error {
	mac, err := net.ParseMAC(value)
	if err != nil {
		return fmt.Errorf("%q is not a MAC address", value)
	}
	a.settings.MacAddress, a.detailed = network.HardwareAddr(mac), true
	return nil
}

// buildNetworks makes the first network the container's mode; the flags for one
// endpoint are that network's.
func (f *Flags) buildNetworks(h *container.HostConfig) (*network.NetworkingConfig, error) {
	list := []attachment{{name: network.NetworkDefault}}
	if len(f.network.values) > 0 {
		list = nil
		for _, v := range f.network.values {
			a, err := parseNetwork(v)
			if err != nil {
				return nil, f.invalid("network", v, err)
			}
			list = append(list, a)
		}
	}
	first := &list[0]
	h.NetworkMode = container.NetworkMode(first.name)
	if len(f.alias.values) > 0 {
		first.settings.Aliases, first.detailed = append(first.settings.Aliases, f.alias.values...), true
	}
	for _, flag := range []struct {
		name   string
		values []string
	}{{"ip", nonEmpty(f.ip)}, {"ip6", nonEmpty(f.ip6)}, {"link-local-ip", f.linkLocal.values}} {
		for _, v := range flag.values {
			if err := first.address(flag.name, v); err != nil {
				return nil, f.invalid(flag.name, v, err)
			}
		}
	}
	if f.mac != "" {
		if err := first.hardware(f.mac); err != nil {
			return nil, f.invalid("mac-address", f.mac, err)
		}
	}
	if len(list) == 1 && !first.detailed {
		return nil, nil
	}
	endpoints := map[string]*network.EndpointSettings{}
	for i := range list {
		if endpoints[list[i].name] != nil {
			return nil, fmt.Errorf("network %q is specified multiple times", list[i].name)
		}
		endpoints[list[i].name] = &list[i].settings
	}
	return &network.NetworkingConfig{EndpointsConfig: endpoints}, nil
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
