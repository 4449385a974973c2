package networks

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	mobynet "github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/filters"
	"github.com/berth-containers/berth/internal/network/definition"
)

// Settings is an attachment as inspect and ps show it; alive: the container runs.
func Settings(r *container.Record, a container.Attachment, alive bool) *mobynet.EndpointSettings {
	e := &mobynet.EndpointSettings{}
	if a.Asked != nil {
		e = wanted(a.Asked)
	}
	e.NetworkID, e.DNSNames = a.NetworkID, Names(r, a)
	if ep := a.Endpoint; ep != nil && alive {
		e.EndpointID, e.Gateway, e.IPv6Gateway = ep.ID, ep.Gateway, ep.Gateway6
		if ep.IP.IsValid() {
			e.IPAddress, e.IPPrefixLen = ep.IP.Addr(), ep.IP.Bits()
		}
		if ep.IP6.IsValid() {
			e.GlobalIPv6Address, e.GlobalIPv6PrefixLen = ep.IP6.Addr(), ep.IP6.Bits()
		}
		e.MacAddress = hardware(ep.MAC)
	}
	return e
}

func hardware(text string) mobynet.HardwareAddr {
	mac, err := net.ParseMAC(text)
	if err != nil {
		return nil
	}
	return mobynet.HardwareAddr(mac)
}

// Containers are those that run in a network, as its inspect shows them.
func Containers(n mobynet.Network, records []*container.Record) map[string]mobynet.EndpointResource {
	all := map[string]mobynet.EndpointResource{}
	for _, r := range records {
		if !r.State.Status.Alive() {
			continue
		}
		for _, a := range r.Networks {
			if a.Network != n.Name {
				continue
			}
			e := mobynet.EndpointResource{Name: r.Name}
			if ep := a.Endpoint; ep != nil {
				e.EndpointID, e.IPv4Address, e.IPv6Address, e.MacAddress = ep.ID, ep.IP, ep.IP6, hardware(ep.MAC)
			}
			all[r.ID] = e
		}
	}
	return all
}

// Filter is the checked form of the filters of network ls and prune.
type Filter struct {
	f     filters.Filters
	until time.Time
}

// NewFilter checks those of ls.
func NewFilter(f filters.Filters) (Filter, error) {
	if err := filters.Only(f, "name", "id", "driver", "scope", "type", "label", "dangling"); err != nil {
		return Filter{}, err
	}
	if len(f["dangling"]) > 1 {
		return Filter{}, invalid(`got more than one value for filter key "dangling"`)
	}
	for v := range f["dangling"] {
		if !slices.Contains([]string{"0", "1", "true", "false"}, v) {
			return Filter{}, invalid(`invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")`)
		}
	}
	for v := range f["type"] {
		if v != "builtin" && v != "custom" {
			return Filter{}, invalid("invalid filter: 'type'='%s'", v)
		}
	}
	return Filter{f: f}, nil
}

// NewPrune checks those of prune.
func NewPrune(f filters.Filters) (Filter, error) {
	if err := filters.Only(f, "until", "label", "label!"); err != nil {
		return Filter{}, err
	}
	until, err := filters.Until(f, time.Now())
	return Filter{f: f, until: until}, err
}

// Match is whether a network passes; used: a container that runs is in it.
func (f Filter) Match(n mobynet.Network, used bool) bool {
	match := func(key string, ok func(value string) bool) bool { return filters.Any(f.f, key, ok) }
	builtin := definition.Predefined(n.Name)
	return match("name", func(v string) bool { return matches(v, n.Name) }) &&
		match("id", func(v string) bool { return matches(v, n.ID) }) &&
		match("driver", func(v string) bool { return v == n.Driver }) &&
		match("scope", func(v string) bool { return v == n.Scope }) &&
		match("type", func(v string) bool { return builtin == (v == "builtin") }) &&
		match("dangling", func(v string) bool { return (v == "1" || v == "true") == (!builtin && !used) }) &&
		filters.Labels(n.Labels, f.f) &&
		(f.until.IsZero() || !n.Created.After(f.until))
}

// matches is Docker's: a regular expression, or the beginning if it is none.
func matches(pattern, text string) bool {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return strings.HasPrefix(text, pattern)
	}
	return re.MatchString(text)
}

// Removable refuses, with Docker's words, to take a network away that must stay.
func Removable(n mobynet.Network, records []*container.Record) error {
	if definition.Predefined(n.Name) {
		return errdefs.ErrPermissionDenied.WithMessage(n.Name + " is a pre-defined network and cannot be removed")
	}
	in := Containers(n, records)
	if len(in) == 0 {
		return nil
	}
	var who []string
	for _, e := range in {
		who = append(who, fmt.Sprintf("name:%q id:%q", e.Name, e.EndpointID[:min(12, len(e.EndpointID))]))
	}
	slices.Sort(who)
	return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("error while removing network: network %s has active endpoints (%s)", n.Name, strings.Join(who, ", ")))
}

// Detach are the attachments that are left without a network; NotFound if the
// container is not in it.
func Detach(r *container.Record, n mobynet.Network) ([]container.Attachment, error) {
	if r.HostConfig.NetworkMode.IsHost() && n.Name == mobynet.NetworkHost {
		return nil, invalid("cannot disconnect container from host network - container was created in host network mode")
	}
	left := slices.DeleteFunc(slices.Clone(r.Networks), func(a container.Attachment) bool { return a.Network == n.Name || a.NetworkID == n.ID })
	if len(left) == len(r.Networks) {
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %s is not connected to network %s", r.ID, n.Name))
	}
	return left, nil
}
