// Package registries is the one table of how registries are reached: mirrors
// and pull-through caches, insecure hosts, what stands in for docker.io, and
// the folders with certificates. Whatever speaks to a registry asks it.
//
// The table comes from the configuration and does not change; the folders are
// looked at each time, so a certificate is renewed without a restart.
package registries

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
)

// Hub is the registry of names without a host.
const Hub = "docker.io"

// every is the key of the entry for registries that have none of their own.
const every = "*"

// CertsDirs are the folders of certificates unless the table names one: <dir>/<host>/
// has *.crt (CAs), NAME.cert and NAME.key (client certificates), or hosts.toml.
var CertsDirs = [...]string{"/etc/berth/certs.d", "/etc/docker/certs.d"}

// Table is the key "registries" of the configuration.
type Table struct {
	// Default is the registry, as HOST or HOST:PORT, that stands in for
	// docker.io: names without a host are fetched from and pushed to it, and
	// what a client knows as the credentials of docker.io are its.
	Default string `json:"default"`
	// Certs is a folder in place of CertsDirs.
	Certs string `json:"certs"`
	// Foreign are the hosts, "*" any, that layers which are kept outside of the
	// registry may be fetched from: a manifest names them, so whoever made the
	// image does.
	Foreign []string `json:"foreign"`
	// Hosts is how a registry, HOST or HOST:PORT, is reached; "*" is any other one.
	Hosts map[string]Entry `json:"hosts"`
}

// Entry is how one registry is reached.
type Entry struct {
	// Mirrors are asked first, in order, without credentials, for pulls only:
	// [http://|https://]HOST[:PORT][/PREFIX]. They are told the registry that is
	// meant as the query "ns", so one cache can serve several registries.
	Mirrors []string `json:"mirrors"`
	// Insecure registries are spoken to without a look at their certificate, and
	// without TLS if they have none. Those on the loopback interface always are.
	Insecure bool `json:"insecure"`
}

// Endpoint is one place to ask.
type Endpoint struct {
	Scheme   string // https or http
	Host     string // HOST or HOST:PORT; docker.io is itself
	Path     string // of the API: /v2, or a prefix and /v2
	Insecure bool
	Mirror   bool   // for pulls only, and without credentials
	Certs    string // its folder of certificates; empty if there is none
}

// Parse reads the key "registries". Errors name the key within it.
func Parse(text []byte) (Table, error) {
	var t Table
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		return Table{}, fmt.Errorf("not a table of registries: %w", err)
	}
	if t.Default != "" && !isHost(t.Default) {
		return Table{}, fmt.Errorf("default: %q is not HOST or HOST:PORT", t.Default)
	}
	if t.Certs != "" && !strings.HasPrefix(t.Certs, "/") {
		return Table{}, fmt.Errorf("certs: %q is not an absolute path", t.Certs)
	}
	for _, host := range t.Foreign {
		if host != every && !isHost(host) {
			return Table{}, fmt.Errorf("foreign: %q is neither HOST nor \"*\"", host)
		}
	}
	for _, host := range slices.Sorted(maps.Keys(t.Hosts)) {
		if host != every && !isHost(host) {
			return Table{}, fmt.Errorf("hosts: %q is neither HOST, HOST:PORT nor \"*\"", host)
		}
		for _, m := range t.Hosts[host].Mirrors {
			if _, err := mirror(m); err != nil {
				return Table{}, fmt.Errorf("hosts: %s: mirrors: %w", host, err)
			}
		}
	}
	return t, nil
}

var hostname = regexp.MustCompile(`^([a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\])(:[0-9]+)?$`)

func isHost(s string) bool { return hostname.MatchString(s) }

func mirror(text string) (Endpoint, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !isHost(u.Host) || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Endpoint{}, fmt.Errorf("%q is not [http://|https://]HOST[:PORT][/PREFIX]", text)
	}
	return Endpoint{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/") + "/v2", Mirror: true}, nil
}

// With returns the table with more insecure hosts and more mirrors of docker.io,
// after its own. ErrInvalidArgument names what is not one.
func (t Table) With(insecure, mirrors []string) (Table, error) {
	hosts := maps.Clone(t.Hosts)
	if hosts == nil {
		hosts = map[string]Entry{}
	}
	for _, h := range insecure {
		if !isHost(h) {
			return t, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%q is not HOST or HOST:PORT", h))
		}
		e := t.entry(h)
		e.Insecure = true
		hosts[h] = e
	}
	for _, m := range mirrors {
		if _, err := mirror(m); err != nil {
			return t, errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
		e := hosts[Hub]
		e.Mirrors = append(slices.Clone(e.Mirrors), m)
		hosts[Hub] = e
	}
	t.Hosts = hosts
	return t, nil
}

// ForeignFrom says if layers may be fetched from a host that is no registry.
func (t Table) ForeignFrom(host string) bool {
	return slices.Contains(t.Foreign, every) || slices.ContainsFunc(t.Foreign, func(h string) bool { return strings.EqualFold(h, host) })
}

// entry is that of the host with its port, of the host, or of any.
func (t Table) entry(host string) Entry {
	if e, ok := t.Hosts[host]; ok {
		return e
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		if e, ok := t.Hosts[name]; ok {
			return e
		}
	}
	return t.Hosts[every]
}

// Endpoints are the places to ask for a registry, best first; the last one is
// the registry itself.
func (t Table) Endpoints(registry string) ([]Endpoint, error) {
	own := Endpoint{Scheme: "https", Host: registry, Path: "/v2"}
	if registry == Hub && t.Default != "" {
		own.Host = t.Default
	}
	var list []Endpoint
	for _, m := range t.entry(registry).Mirrors {
		e, err := mirror(m)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	list = append(list, own)
	for i := range list {
		e := &list[i]
		if e.Scheme == "https" {
			loopback, err := docker.MatchLocalhost(e.Host)
			if err != nil {
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("registry %q is not HOST or HOST:PORT", e.Host))
			}
			e.Insecure = loopback || t.entry(e.Host).Insecure
		}
		var err error
		if e.Certs, err = t.certs(e.Host); err != nil {
			return nil, fmt.Errorf("look for the certificates of registry %s: %w", e.Host, err)
		}
	}
	return list, nil
}

func (t Table) certs(host string) (string, error) {
	dirs := CertsDirs[:]
	if t.Certs != "" {
		dirs = []string{t.Certs}
	}
	for _, root := range dirs {
		dir, err := config.HostDirFromRoot(root)(host)
		if err == nil || !errdefs.IsNotFound(err) {
			return dir, err
		}
	}
	return "", nil
}
