// Package distribution is the client of image registries (OCI distribution
// specification v1.1, Docker's token authentication).
//
// A Repository is one repository with one set of credentials. The digest of
// what Fetch reads is the caller's to check. A registry that stops sending ends
// in an error after the idle time, at any point of a transfer; one that breaks
// off or is busy is asked again, a bounded number of times with growing pauses.
// Credentials go to the registry's own host and to the token server that it
// names, never in plain text unless the registry is spoken to so, and never
// along a redirect. Nothing is kept on disk.
package distribution

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// defaultIdle is how long a registry may be silent.
const defaultIdle = 60 * time.Second

// Options of a client.
type Options struct {
	// Registries is how each registry is reached.
	Registries registries.Table
	// Idle is how long a registry may be silent; 0 is a minute.
	Idle      time.Duration
	UserAgent string
}

// Credentials for a registry; the zero value is anonymous. An identity token
// takes the place of a password.
type Credentials struct {
	Username, Password string
	IdentityToken      string
}

// Client holds the connections to registries.
type Client struct {
	options  Options
	secure   *http.Transport
	insecure *http.Transport // does not look at certificates
}

// New returns a client.
func New(o Options) *Client {
	if o.Idle == 0 {
		o.Idle = defaultIdle
	}
	secure := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: o.Idle / 2, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   o.Idle / 2,
		ResponseHeaderTimeout: o.Idle,
		ExpectContinueTimeout: time.Second,
	}
	insecure := secure.Clone()
	insecure.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // for the hosts that were named so
	return &Client{options: o, secure: secure, insecure: insecure}
}

// Close closes the connections that are not in use.
func (c *Client) Close() {
	c.secure.CloseIdleConnections()
	c.insecure.CloseIdleConnections()
}

// Repository is one repository of a registry.
type Repository struct {
	ref    reference.Named
	client *Client
	hosts  []docker.RegistryHost // the last one is the registry itself
	known  bool                  // credentials were given
	gone   sync.Map              // mirrors that did not answer
}

// Repository returns the repository of ref, whose tag or digest is what
// Resolve and PushManifest mean.
func (c *Client) Repository(ctx context.Context, ref reference.Named, creds Credentials) (*Repository, error) {
	hosts, err := c.hosts(ctx, reference.Domain(ref), creds)
	if err != nil {
		return nil, err
	}
	return &Repository{ref: ref, client: c, hosts: hosts, known: creds != Credentials{}}, nil
}

// get is a request for a part of the repository. One who stands in for the
// registry is told which one is meant.
func (r *Repository) get(h docker.RegistryHost, method string, parts ...string) request {
	q := request{
		method: method, path: h.Path + "/" + reference.Path(r.ref) + "/" + strings.Join(parts, "/"),
		query: url.Values{}, scope: []string{"repository:" + reference.Path(r.ref) + ":pull"},
	}
	if domain := reference.Domain(r.ref); h.Host != domain && h.Host != r.hosts[len(r.hosts)-1].Host {
		q.query.Set("ns", domain)
	}
	return q
}

// each asks those who can in turn until one has an answer, and returns the
// error of the last one. A mirror that did not answer is not asked again.
func (r *Repository) each(ctx context.Context, need docker.HostCapabilities, verb string, ask func(h docker.RegistryHost, last bool) error) error {
	var able []docker.RegistryHost
	for _, h := range r.hosts {
		if h.Capabilities.Has(need) {
			able = append(able, h)
		}
	}
	if len(able) == 0 {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("no host of hosts.toml may be asked to %s %s", verb, reference.FamiliarString(r.ref)))
	}
	var mirrors []string
	for _, h := range able[:len(able)-1] {
		if why, gone := r.gone.Load(h.Host); gone {
			mirrors = append(mirrors, fmt.Sprint(why))
			continue
		}
		err := ask(h, false)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s := status(err); s == http.StatusNotFound {
			continue
		} else if why := fmt.Sprintf("mirror %s: %v", h.Host, err); s == 0 && !errdefs.IsDataLoss(err) {
			r.gone.Store(h.Host, why)
			mirrors = append(mirrors, why)
		} else {
			mirrors = append(mirrors, why)
		}
	}
	err := r.explain(ctx, ask(able[len(able)-1], true), verb)
	if err != nil && len(mirrors) > 0 {
		err = fmt.Errorf("%w; before that, %s", err, strings.Join(mirrors, "; "))
	}
	return err
}

func (c *Client) headers() http.Header {
	headers := http.Header{}
	if c.options.UserAgent != "" {
		headers.Set("User-Agent", c.options.UserAgent)
	}
	return headers
}
