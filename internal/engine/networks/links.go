package networks

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	mobynet "github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
)

// Linked is what a container of the default network gets of those it is linked
// to: lines of its hosts file and variables of its environment.
type Linked struct {
	Hosts []string
	Env   []string
}

// CheckLinks refuses links that cannot be.
func CheckLinks(h *api.HostConfig, find func(ref string) (*container.Record, error)) error {
	switch {
	case len(h.Links) == 0:
		return nil
	case h.NetworkMode.IsHost():
		return invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
	case h.NetworkMode.IsContainer():
		return invalid("conflicting options: container type network can't be used with links. This would result in undefined behavior")
	}
	for _, l := range h.Links {
		name, _, err := parseLink(l)
		if err != nil {
			return invalid("%s", err.Error())
		}
		if h.NetworkMode.IsUserDefined() { // asked for when it is looked up
			continue
		}
		if _, err := find(name); err != nil {
			return invalid("could not get container for %s", name)
		}
	}
	return nil
}

// Links are what a container that starts gets of its links.
func Links(r *container.Record, find func(ref string) (*container.Record, error)) (l Linked, err error) {
	if r.HostConfig.NetworkMode != mobynet.NetworkBridge {
		return l, nil
	}
	for _, text := range r.HostConfig.Links {
		name, alias, err := parseLink(text)
		if err != nil {
			return l, invalid("%s", err.Error())
		}
		other, err := find(name)
		if err != nil {
			return l, err
		}
		ip, ok := onDefault(other)
		if !ok {
			return l, errdefs.ErrConflict.WithMessage(fmt.Sprintf("Cannot link to a non running container: /%s AS /%s/%s", other.Name, r.Name, alias))
		}
		names := []string{alias, other.Config.Hostname}
		if other.Name != alias {
			names = append(names, other.Name)
		}
		l.Hosts = append(l.Hosts, fmt.Sprintf("%s\t%s\n", ip, strings.Join(names, " ")))
		l.Env = append(l.Env, variables(r.Name, alias, ip, other.Config)...)
	}
	return l, nil
}

func onDefault(r *container.Record) (netip.Addr, bool) {
	for _, a := range r.Networks {
		if a.Network == mobynet.NetworkBridge && a.Endpoint != nil && r.State.Status.Alive() {
			return a.Endpoint.IP.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// variables are those that Docker has for a link.
func variables(self, alias string, ip netip.Addr, c *api.Config) []string {
	prefix := strings.ToUpper(strings.ReplaceAll(alias, "-", "_"))
	ports := make([]mobynet.Port, 0, len(c.ExposedPorts))
	for p := range c.ExposedPorts {
		ports = append(ports, p)
	}
	slices.SortFunc(ports, func(a, b mobynet.Port) int {
		return cmp.Or(cmp.Compare(a.Num(), b.Num()), strings.Compare(string(a.Proto()), string(b.Proto())))
	})
	var env []string
	for i, p := range ports {
		at := fmt.Sprintf("%s://%s:%d", p.Proto(), ip, p.Num())
		if i == 0 {
			env = append(env, prefix+"_PORT="+at)
		}
		of := fmt.Sprintf("%s_PORT_%d_%s", prefix, p.Num(), strings.ToUpper(string(p.Proto())))
		env = append(env, of+"="+at, of+"_ADDR="+ip.String(), fmt.Sprintf("%s_PORT=%d", of, p.Num()), of+"_PROTO="+string(p.Proto()))
	}
	env = append(env, fmt.Sprintf("%s_NAME=/%s/%s", prefix, self, alias))
	for _, e := range c.Env {
		key, value, ok := strings.Cut(e, "=")
		if ok && key != "HOME" && key != "PATH" {
			env = append(env, fmt.Sprintf("%s_ENV_%s=%s", prefix, key, value))
		}
	}
	return env
}

// WithEnv is a record for a specification, with the variables of links before
// its own, which take precedence.
func WithEnv(r *container.Record, l Linked) *container.Record {
	if len(l.Env) == 0 {
		return r
	}
	own := map[string]bool{}
	for _, e := range r.Config.Env {
		key, _, _ := strings.Cut(e, "=")
		own[key] = true
	}
	c := *r.Config
	c.Env = slices.DeleteFunc(slices.Clone(l.Env), func(e string) bool { key, _, _ := strings.Cut(e, "="); return own[key] })
	c.Env = append(c.Env, r.Config.Env...)
	with := r.Clone()
	with.Config = &c
	return with
}

// ShownLinks are HostConfig.Links as inspect has them: /name:/self/alias.
func ShownLinks(r *container.Record) []string {
	var shown []string
	for _, l := range r.HostConfig.Links {
		if name, alias, err := parseLink(l); err == nil {
			shown = append(shown, fmt.Sprintf("/%s:/%s/%s", name, r.Name, alias))
		}
	}
	return shown
}
