// Package revise changes what a container was created with, beyond Docker's
// update: ports, environment, labels and mounts. It is pure: it says what the
// record becomes, and refuses what makes no sense.
package revise

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
)

// Changes are fields of the body of POST /containers/{id}/update. What is taken
// away goes before what is added.
type Changes struct {
	PortBindingsAdd    network.PortMap
	PortBindingsRemove []string // [[HOST-IP:]HOST-PORT:]PORT[/PROTOCOL]
	EnvAdd             []string // NAME=VALUE
	EnvRemove          []string // NAME
	LabelsAdd          map[string]string
	LabelsRemove       []string
	MountsAdd          []mount.Mount
	MountsRemove       []string // the destination
}

// Ports is whether published ports change.
func (c Changes) Ports() bool { return len(c.PortBindingsAdd)+len(c.PortBindingsRemove) > 0 }

// Mounts is whether mounts change.
func (c Changes) Mounts() bool { return len(c.MountsAdd)+len(c.MountsRemove) > 0 }

// Env is whether the environment changes.
func (c Changes) Env() bool { return len(c.EnvAdd)+len(c.EnvRemove) > 0 }

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// Config returns a changed copy.
func Config(c *api.Config, ch Changes) (_ *api.Config, err error) {
	n := *c
	if n.Env, err = env(c.Env, ch); err != nil {
		return nil, err
	}
	n.Labels = maps.Clone(c.Labels)
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	for _, name := range ch.LabelsRemove {
		if _, ok := n.Labels[name]; !ok {
			return nil, invalid("the container has no label %s", name)
		}
		delete(n.Labels, name)
	}
	for name, value := range ch.LabelsAdd {
		if name == "" {
			return nil, invalid("a label to add has no name")
		}
		n.Labels[name] = value
	}
	return &n, nil
}

func env(old []string, ch Changes) ([]string, error) {
	list := slices.Clone(old)
	at := func(name string) int {
		return slices.IndexFunc(list, func(e string) bool { n, _, _ := strings.Cut(e, "="); return n == name })
	}
	for _, name := range ch.EnvRemove {
		i := at(name)
		if i < 0 {
			return nil, invalid("the container has no environment variable %s", name)
		}
		list = slices.Delete(list, i, i+1)
	}
	for _, e := range ch.EnvAdd {
		name, _, ok := strings.Cut(e, "=")
		if !ok || name == "" {
			return nil, invalid("invalid environment variable: %s: use NAME=VALUE", e)
		}
		if i := at(name); i >= 0 {
			list[i] = e
		} else {
			list = append(list, e)
		}
	}
	return list, nil
}

// HostConfig returns a changed copy.
func HostConfig(h *api.HostConfig, ch Changes) (_ *api.HostConfig, err error) {
	n := *h
	if ch.Ports() && (h.NetworkMode.IsHost() || h.NetworkMode.IsNone() || h.NetworkMode.IsContainer()) {
		return nil, invalid("conflicting options: port publishing and the network mode %s", h.NetworkMode)
	}
	if n.PortBindings, err = bindings(h.PortBindings, ch); err != nil {
		return nil, err
	}
	gone := func(dst string) bool { return slices.Contains(replaced(ch), path.Clean(dst)) }
	n.Binds = slices.DeleteFunc(slices.Clone(h.Binds), func(b string) bool { return gone(destination(b)) })
	n.Mounts = slices.DeleteFunc(slices.Clone(h.Mounts), func(m mount.Mount) bool { return gone(m.Target) })
	n.Mounts = append(n.Mounts, ch.MountsAdd...)
	n.Tmpfs = maps.Clone(h.Tmpfs)
	maps.DeleteFunc(n.Tmpfs, func(dst, _ string) bool { return gone(dst) })
	return &n, nil
}

// replaced are the destinations of which the old mount goes.
func replaced(ch Changes) []string {
	var all []string
	for _, dst := range ch.MountsRemove {
		all = append(all, path.Clean(dst))
	}
	for _, m := range ch.MountsAdd {
		all = append(all, path.Clean(m.Target))
	}
	return all
}

// destination of a bind [SOURCE:]DESTINATION[:MODE].
func destination(bind string) string {
	parts := strings.SplitN(bind, ":", 3)
	if len(parts) == 1 {
		return parts[0]
	}
	return parts[1]
}

func bindings(old network.PortMap, ch Changes) (network.PortMap, error) {
	m := network.PortMap{}
	for port, bs := range old {
		m[port] = slices.Clone(bs)
	}
	for _, text := range ch.PortBindingsRemove {
		if err := unpublish(m, text); err != nil {
			return nil, err
		}
	}
	for port, bs := range ch.PortBindingsAdd {
		if len(bs) == 0 {
			bs = []network.PortBinding{{}}
		}
		for _, b := range bs {
			if b.HostPort == "" || !slices.Contains(m[port], b) {
				m[port] = append(m[port], b)
			}
		}
	}
	return m, nil
}

func unpublish(m network.PortMap, text string) error {
	rest, host, ip := text, "", ""
	if i := strings.LastIndex(rest, ":"); i >= 0 {
		host, rest = rest[:i], rest[i+1:]
		if i := strings.LastIndex(host, ":"); i >= 0 {
			ip, host = strings.Trim(host[:i], "[]"), host[i+1:]
		}
	}
	port, err := network.ParsePort(rest)
	if err != nil {
		return invalid("the port to unpublish %q: use [[HOST-IP:]HOST-PORT:]PORT[/PROTOCOL]", text)
	}
	kept := slices.DeleteFunc(slices.Clone(m[port]), func(b network.PortBinding) bool {
		at := ""
		if b.HostIP.IsValid() && !b.HostIP.IsUnspecified() {
			at = b.HostIP.String()
		}
		return (host == "" || host == b.HostPort) && (ip == "" || ip == "0.0.0.0" && at == "" || ip == at)
	})
	if len(kept) == len(m[port]) {
		return invalid("the container does not publish %s", text)
	}
	m[port] = kept
	if len(kept) == 0 {
		delete(m, port)
	}
	return nil
}

// Remount is old without what goes, and with what is added, in the order in which
// they must be made.
func Remount(old, added []container.Mount, tmpfs map[string]string, ch Changes) ([]container.Mount, error) {
	for _, dst := range ch.MountsRemove {
		_, ofTmpfs := tmpfs[dst]
		if !ofTmpfs && !slices.ContainsFunc(old, func(m container.Mount) bool { return path.Clean(m.Destination) == path.Clean(dst) }) {
			return nil, invalid("the container has no mount at %s", dst)
		}
	}
	gone := replaced(ch)
	list := slices.DeleteFunc(slices.Clone(old), func(m container.Mount) bool { return slices.Contains(gone, path.Clean(m.Destination)) })
	list = append(list, added...)
	slices.SortStableFunc(list, func(a, b container.Mount) int { return strings.Compare(a.Destination, b.Destination) })
	return list, nil
}
