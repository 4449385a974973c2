package distribution

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/pelletier/go-toml/v2"
)

const (
	forPulls = docker.HostCapabilityPull | docker.HostCapabilityResolve | docker.HostCapabilityReferrers
	forAll   = forPulls | docker.HostCapabilityPush
)

// hosts is whom to ask for the registry of a domain, best first; the last one is
// the registry itself.
func (c *Client) hosts(ctx context.Context, domain string, creds Credentials) ([]docker.RegistryHost, error) {
	endpoints, err := c.options.Registries.Endpoints(domain)
	if err != nil {
		return nil, err
	}
	var all []docker.RegistryHost
	for _, e := range endpoints {
		hosts, err := c.endpoint(ctx, e, c.secrets(e, creds))
		if err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("registry %s: %v", e.Host, err))
		}
		all = append(all, hosts...)
	}
	return all, nil
}

// secrets are the credentials for whoever asks. A mirror gets none, nor does a
// host that the registry merely redirects to.
func (c *Client) secrets(e registries.Endpoint, creds Credentials) func(string) (string, string, error) {
	return func(asking string) (string, string, error) {
		switch {
		case e.Mirror, asking != address(e):
			return "", "", nil
		case creds.IdentityToken != "":
			return "", creds.IdentityToken, nil
		}
		return creds.Username, creds.Password, nil
	}
}

// address is where an endpoint listens.
func address(e registries.Endpoint) string {
	if e.Host == registries.Hub {
		return "registry-1.docker.io"
	}
	return e.Host
}

// endpoint is how to speak to one endpoint: one host, unless a hosts.toml names
// more.
func (c *Client) endpoint(ctx context.Context, e registries.Endpoint, secrets func(string) (string, string, error)) ([]docker.RegistryHost, error) {
	capabilities := forAll
	if e.Mirror {
		capabilities = forPulls
	}
	if e.Certs == "" {
		client := &http.Client{Transport: c.attended(c.transport(e))}
		auth := authorizer(client, nil, e.Insecure || e.Scheme == "http", secrets)
		return []docker.RegistryHost{{Client: client, Authorizer: auth, Scheme: e.Scheme, Host: address(e), Path: e.Path, Capabilities: capabilities}}, nil
	}
	if err := checkHostsFile(e.Certs); err != nil {
		return nil, err
	}
	options := config.HostOptions{
		HostDir:       func(string) (string, error) { return e.Certs, nil },
		DefaultScheme: e.Scheme,
		UpdateClient: func(client *http.Client) error {
			client.Transport = c.attended(client.Transport)
			return nil
		},
	}
	if e.Insecure {
		options.DefaultTLS = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // as above
	}
	hosts, err := config.ConfigureHosts(ctx, options)(e.Host)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", e.Certs, err)
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("%s/hosts.toml leaves nobody to ask", e.Certs)
	}
	for i := range hosts {
		h := &hosts[i]
		h.Capabilities &= capabilities
		h.Authorizer = authorizer(h.Client, h.Header, e.Insecure || h.Scheme == "http", secrets)
	}
	if e.Mirror {
		hosts[len(hosts)-1].Path = e.Path
	}
	return hosts, nil
}

// checkHostsFile reads hosts.toml, if there is one: the library goes on without
// one that is broken.
func checkHostsFile(dir string) error {
	path := filepath.Join(dir, "hosts.toml")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := toml.Unmarshal(text, &map[string]any{}); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// transport is how an endpoint without certificates of its own is reached.
func (c *Client) transport(e registries.Endpoint) http.RoundTripper {
	if e.Insecure {
		return docker.NewHTTPFallback(c.insecure)
	}
	return c.secure
}

// attended gives up on a silent registry.
func (c *Client) attended(next http.RoundTripper) http.RoundTripper {
	return &idle{next: next, limit: c.options.Idle}
}

// RegistryHosts is how a library reaches registries by the table; it brings its
// own credentials.
func (c *Client) RegistryHosts() docker.RegistryHosts {
	return func(domain string) ([]docker.RegistryHost, error) {
		return c.hosts(context.Background(), domain, Credentials{})
	}
}
