// Package networks tells what containers ask of networks, and what networks
// show of containers. It is pure: it changes no container and no network.
//
// Words: an attachment is a network that a container's record names; a join is
// what the network is asked for when the container starts.
package networks

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	mobynet "github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network"
)

// Options of an endpoint that mean something here.
const optionLink = "com.docker.network.endpoint.ifname"

// Own is whether the container has a sandbox of its own, with or without links.
func Own(r *container.Record) bool {
	m := r.HostConfig.NetworkMode
	return !r.Config.NetworkDisabled && !m.IsHost() && !m.IsNone() && !m.IsContainer()
}

// Find returns the network of a name, an ID or the beginning of one.
func Find(all []mobynet.Network, ref string) (mobynet.Network, error) {
	var byName, byPrefix []mobynet.Network
	for _, n := range all {
		switch {
		case n.ID == ref:
			return n, nil
		case n.Name == ref:
			byName = append(byName, n)
		case ref != "" && strings.HasPrefix(n.ID, ref):
			byPrefix = append(byPrefix, n)
		}
	}
	switch {
	case len(byName) == 1:
		return byName[0], nil
	case len(byName) == 0 && len(byPrefix) == 1:
		return byPrefix[0], nil
	case len(byName) == 0 && len(byPrefix) > 1:
		return mobynet.Network{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("network %s is ambiguous (%d matches found based on ID prefix)", ref, len(byPrefix)))
	}
	return mobynet.Network{}, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", ref))
}

// Attachments are the networks that a new container asks for, the one of its
// network mode first. One that is not there yet is found when it starts. A mode
// that is the beginning of an ID becomes that ID.
func Attachments(c *api.Config, h *api.HostConfig, asked *mobynet.NetworkingConfig, all []mobynet.Network) ([]container.Attachment, error) {
	list := []container.Attachment{}
	var endpoints map[string]*mobynet.EndpointSettings
	if asked != nil {
		endpoints = asked.EndpointsConfig
	}
	mode := h.NetworkMode
	if mode.IsContainer() || c.NetworkDisabled {
		return list, nil
	}
	if n, err := Find(all, string(mode)); err == nil && string(mode) != n.Name {
		h.NetworkMode = api.NetworkMode(n.ID)
	}
	first, err := attachment(string(mode), nil, all)
	if err != nil {
		return nil, err
	}
	if mode.IsUserDefined() {
		first.Asked.Links = h.Links
	}
	list = append(list, first)
	names := make([]string, 0, len(endpoints))
	for name := range endpoints {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		a, err := attachment(name, endpoints[name], all)
		if err != nil {
			return nil, err
		}
		switch {
		case a.Network == first.Network || name == mobynet.NetworkDefault && first.Network == mobynet.NetworkBridge:
			a.Network, a.NetworkID = first.Network, first.NetworkID
			if len(a.Asked.Links) == 0 {
				a.Asked.Links = first.Asked.Links
			}
			list[0] = a
		case mode.IsHost() || mode.IsNone() || a.Network == mobynet.NetworkHost || a.Network == mobynet.NetworkNone:
			return nil, errdefs.ErrInvalidArgument.WithMessage("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
		default:
			list = append(list, a)
		}
	}
	return list, nil
}

func attachment(ref string, asked *mobynet.EndpointSettings, all []mobynet.Network) (container.Attachment, error) {
	a := container.Attachment{Network: ref, Asked: &mobynet.EndpointSettings{}}
	if asked != nil {
		a.Asked = wanted(asked)
		if asked.NetworkID != "" {
			if n, err := Find(all, asked.NetworkID); err == nil && n.Name == ref {
				ref = n.ID
			}
		}
	}
	n, err := Find(all, ref)
	if errdefs.IsNotFound(err) {
		return a, Check(a, mobynet.Network{Name: ref})
	}
	if err != nil {
		return a, err
	}
	a.Network, a.NetworkID = n.Name, n.ID
	return a, Check(a, n)
}

// wanted is what the user said, without what is of a run.
func wanted(e *mobynet.EndpointSettings) *mobynet.EndpointSettings {
	w := mobynet.EndpointSettings{IPAMConfig: e.IPAMConfig.Copy(), Links: slices.Clone(e.Links), Aliases: slices.Clone(e.Aliases),
		DriverOpts: e.DriverOpts, GwPriority: e.GwPriority, MacAddress: e.MacAddress}
	if w.IPAMConfig != nil {
		w.IPAMConfig.IPv4Address, w.IPAMConfig.IPv6Address = w.IPAMConfig.IPv4Address.Unmap(), w.IPAMConfig.IPv6Address.Unmap()
	}
	return &w
}

// Attach is the attachment that connect asks for; InvalidArgument if the
// container cannot be in the network, or is already.
func Attach(r *container.Record, n mobynet.Network, asked *mobynet.EndpointSettings) (container.Attachment, error) {
	if asked == nil {
		asked = &mobynet.EndpointSettings{}
	}
	a := container.Attachment{Network: n.Name, NetworkID: n.ID, Asked: wanted(asked)}
	m := r.HostConfig.NetworkMode
	switch {
	case m.IsHost() || m.IsContainer():
		return a, invalid("container sharing network namespace with another container or host cannot be connected to any other network")
	case m.IsNone() || n.Name == mobynet.NetworkNone:
		return a, invalid("container cannot be connected to multiple networks with one of the networks in private (none) mode")
	case n.Name == mobynet.NetworkHost:
		return a, invalid("container cannot be disconnected from host network or connected to host network")
	case r.Config.NetworkDisabled:
		return a, invalid("container %s has its network disabled", r.Name)
	case slices.ContainsFunc(r.Networks, func(o container.Attachment) bool { return o.Network == n.Name }):
		if r.State.Status.Alive() {
			return a, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("endpoint with name %s already exists in network %s", r.Name, n.Name))
		}
	}
	return a, Check(a, n)
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// Check refuses, with Docker's words, what an attachment asks of its network.
func Check(a container.Attachment, n mobynet.Network) error {
	var wrong []string
	builtin := !api.NetworkMode(n.Name).IsUserDefined()
	e := a.Asked
	if len(e.Aliases) > 0 && builtin {
		wrong = append(wrong, "network-scoped aliases are only supported for user-defined networks")
	}
	if c := e.IPAMConfig; c != nil {
		if (c.IPv4Address.IsValid() || c.IPv6Address.IsValid()) && builtin {
			wrong = append(wrong, "user-specified IP address is supported on user-defined networks only")
		}
		if c.IPv4Address.IsValid() && (!c.IPv4Address.Is4() || c.IPv4Address.IsUnspecified()) {
			wrong = append(wrong, fmt.Sprintf("invalid IPv4 address: %s", c.IPv4Address))
		}
		if c.IPv6Address.IsValid() && (!c.IPv6Address.Is6() || c.IPv6Address.IsUnspecified() || c.IPv6Address.Zone() != "") {
			wrong = append(wrong, fmt.Sprintf("invalid IPv6 address: %s", c.IPv6Address))
		}
		for _, ip := range []netip.Addr{c.IPv4Address, c.IPv6Address} {
			inside := func(s mobynet.IPAMConfig) bool { return s.Subnet.Contains(ip) }
			if ip.IsValid() && !builtin && n.ID != "" && !slices.ContainsFunc(n.IPAM.Config, inside) {
				wrong = append(wrong, fmt.Sprintf("no configured subnet contains IP address %s", ip))
			}
		}
		for _, ip := range c.LinkLocalIPs {
			if !ip.IsValid() || ip.IsUnspecified() {
				wrong = append(wrong, fmt.Sprintf("invalid link-local IP address: %s", ip))
			}
		}
	}
	for _, l := range e.Links {
		if _, _, err := parseLink(l); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	if len(wrong) > 0 {
		return invalid("invalid endpoint settings:\n%s", strings.Join(wrong, "\n"))
	}
	return nil
}

// Joins are what a container asks of its networks when it starts. Those that
// were not there before are found now; the answer is the record's attachments
// with their IDs.
func Joins(r *container.Record, all []mobynet.Network) ([]container.Attachment, []network.Join, error) {
	attachments := slices.Clone(r.Networks)
	var joins []network.Join
	for i := range attachments {
		a := &attachments[i]
		ref := a.NetworkID
		if ref == "" || !api.NetworkMode(a.Network).IsUserDefined() {
			ref = a.Network
		}
		n, err := Find(all, ref)
		if err != nil {
			return nil, nil, err
		}
		a.Network, a.NetworkID = n.Name, n.ID
		if err := Check(*a, n); err != nil {
			return nil, nil, err
		}
		joins = append(joins, Join(r, *a))
	}
	return attachments, joins, nil
}

// Join is what an attachment asks of its network.
func Join(r *container.Record, a container.Attachment) network.Join {
	e := a.Asked
	if e == nil {
		e = &mobynet.EndpointSettings{}
	}
	j := network.Join{NetworkID: a.NetworkID, Before: a.Endpoint, MAC: net.HardwareAddr(e.MacAddress), Link: e.DriverOpts[optionLink],
		Priority: e.GwPriority, Names: Names(r, a), Links: links(e.Links)}
	if len(e.MacAddress) == 0 {
		j.MAC = nil
	}
	if c := e.IPAMConfig; c != nil {
		j.LinkLocal = c.LinkLocalIPs
		for _, ip := range []netip.Addr{c.IPv4Address, c.IPv6Address} {
			if ip.IsValid() {
				j.Addresses = append(j.Addresses, ip)
			}
		}
	}
	return j
}

// Names are what the container is called in a user-defined network: its name,
// aliases, short ID and host name. In the others nobody has a name.
func Names(r *container.Record, a container.Attachment) []string {
	if !api.NetworkMode(a.Network).IsUserDefined() {
		return nil
	}
	all := []string{r.Name}
	if a.Asked != nil {
		all = append(all, a.Asked.Aliases...)
	}
	all = append(all, r.ID[:min(12, len(r.ID))])
	if r.Config.Hostname != "" {
		all = append(all, r.Config.Hostname)
	}
	var names []string
	for _, n := range all {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

func links(all []string) map[string]string {
	var m map[string]string
	for _, l := range all {
		if name, alias, err := parseLink(l); err == nil {
			if m == nil {
				m = map[string]string{}
			}
			m[strings.ToLower(alias)] = name
		}
	}
	return m
}

// parseLink reads name:alias, or name alone.
func parseLink(s string) (name, alias string, err error) {
	parts := strings.Split(s, ":")
	if s == "" || len(parts) > 2 || parts[0] == "" {
		return "", "", fmt.Errorf("bad format for links: %s", s)
	}
	name = strings.TrimPrefix(parts[0], "/")
	if len(parts) == 1 {
		return name, name, nil
	}
	// A link as inspect shows it: /name:/of/alias.
	return name, parts[1][strings.LastIndexByte(parts[1], '/')+1:], nil
}
