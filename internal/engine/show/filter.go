package show

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
)

// Filter is the checked form of ps's filters.
type Filter struct {
	values map[string][]string
	before *container.Record
	since  *container.Record
	images map[string]bool // IDs of the ancestors, and of what is made from them
	health func(r *container.Record, status string) bool
}

// Find looks up what a filter names.
type Find struct {
	Container func(ref string) (*container.Record, error)
	// Image returns the image's ID; NotFound is no error of the filter.
	Image func(ref string) (id string, err error)
	// Health is whether the container has this state of health.
	Health func(r *container.Record, status string) bool
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// NewFilter checks filters; InvalidArgument names the key or the value.
func NewFilter(filters map[string]map[string]bool, find Find) (*Filter, error) {
	f := &Filter{values: map[string][]string{}, images: map[string]bool{}, health: find.Health}
	for key, set := range filters {
		values := slices.Sorted(maps.Keys(set))
		if err := check(key, values); err != nil {
			return nil, err
		}
		f.values[key] = values
		var err error
		switch {
		case len(values) == 0:
		case key == "before":
			f.before, err = find.Container(values[0])
		case key == "since":
			f.since, err = find.Container(values[0])
		case key == "ancestor":
			f.addAncestors(values, find)
		}
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *Filter) addAncestors(values []string, find Find) {
	for _, v := range values {
		f.images[v] = true
		if id, err := find.Image(v); err == nil && id != "" {
			f.images[id] = true
		}
	}
}

func check(key string, values []string) error {
	for _, v := range values {
		switch key {
		case "id", "label", "ancestor", "before", "since", "volume", "network":
		case "name":
			if _, err := regexp.Compile(v); err != nil {
				return invalid("invalid filter 'name=%s'", v)
			}
		case "status":
			if api.ValidateContainerState(api.ContainerState(v)) != nil {
				return invalid("invalid filter 'status=%s'", v)
			}
		case "health":
			if api.ValidateHealthStatus(api.HealthStatus(v)) != nil {
				return invalid("invalid filter 'health=%s'", v)
			}
		case "exited":
			if _, err := strconv.Atoi(v); err != nil {
				return invalid("invalid filter 'exited=%s'", v)
			}
		case "publish", "expose":
			if _, err := network.ParsePortRange(v); err != nil {
				return invalid("invalid filter '%s=%s'", key, v)
			}
		case "is-task":
			if _, err := strconv.ParseBool(v); err != nil {
				return invalid("invalid filter 'is-task=%s'", v)
			}
		default:
			return invalid("invalid filter '%s'", key)
		}
	}
	return nil
}

// All is whether the filters ask for containers that do not run, too.
func (f *Filter) All() bool {
	return len(f.values["status"]) > 0 || len(f.values["exited"]) > 0 || f.before != nil || f.since != nil
}

// Match is whether the container passes every key by one of its values; of
// label, by all of them.
func (f *Filter) Match(r *container.Record) bool {
	if f.before != nil && !r.Created.Before(f.before.Created) || f.since != nil && !r.Created.After(f.since.Created) {
		return false
	}
	for key, values := range f.values {
		if len(values) == 0 || key == "before" || key == "since" {
			continue
		}
		match := func(v string) bool { return f.match(r, key, v) }
		if key == "label" {
			if slices.ContainsFunc(values, func(v string) bool { return !match(v) }) {
				return false
			}
		} else if !slices.ContainsFunc(values, match) {
			return false
		}
	}
	return true
}

func (f *Filter) match(r *container.Record, key, v string) bool {
	switch key {
	case "id":
		return strings.HasPrefix(r.ID, v)
	case "name":
		re, err := regexp.Compile(v)
		return err == nil && (re.MatchString(r.Name) || re.MatchString("/"+r.Name))
	case "label":
		k, want, hasWant := strings.Cut(v, "=")
		have, ok := r.Config.Labels[k]
		return ok && (!hasWant || have == want)
	case "status":
		return string(r.State.Status) == v
	case "ancestor":
		return f.images[r.ImageID.String()] || f.images[r.Image]
	case "exited":
		return (r.State.Status == container.Exited || r.State.Status == container.Dead) && strconv.Itoa(r.State.ExitCode) == v
	case "volume":
		return slices.ContainsFunc(r.Mounts, func(m container.Mount) bool {
			return m.Destination == v || m.Type == mount.TypeVolume && m.Name == v || m.Type == mount.TypeBind && m.Source == v
		})
	case "network":
		return slices.ContainsFunc(r.Networks, func(a container.Attachment) bool { return a.Network == v || a.NetworkID == v })
	case "health":
		return f.health(r, v)
	case "is-task":
		is, err := strconv.ParseBool(v)
		return err == nil && !is
	case "publish":
		return within(v, published(r))
	case "expose":
		return within(v, slices.Collect(maps.Keys(r.Config.ExposedPorts)))
	}
	return false
}

func published(r *container.Record) []network.Port {
	var ports []network.Port
	if !r.State.Status.Alive() {
		return nil
	}
	for _, p := range r.Ports() {
		if port, ok := network.PortFrom(p.HostPort, network.IPProtocol(p.Proto)); ok {
			ports = append(ports, port)
		}
		if port, ok := network.PortFrom(p.ContainerPort, network.IPProtocol(p.Proto)); ok {
			ports = append(ports, port)
		}
	}
	return ports
}

func within(span string, ports []network.Port) bool {
	s, err := network.ParsePortRange(span)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(ports, func(p network.Port) bool {
		return p.Proto() == s.Proto() && p.Num() >= s.Start() && p.Num() <= s.End()
	})
}
