// Package distribution is the client of image registries (OCI distribution
// specification v1.1, Docker's token authentication).
//
// A Repository is one repository with one set of credentials. What it fetches
// is not checked here: the caller compares digests. A registry that stops
// sending ends in an error after the idle time, at any point of a transfer.
// Nothing is kept on disk.
package distribution

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
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
	ref      reference.Named
	client   *Client
	host     docker.RegistryHost
	known    bool // credentials were given
	resolver remotes.Resolver
	fetcher  remotes.Fetcher
}

// Repository returns the repository of ref, whose tag or digest is what
// Resolve and PushTagged mean.
func (c *Client) Repository(ctx context.Context, ref reference.Named, creds Credentials) (*Repository, error) {
	hosts, err := c.hosts(ctx, reference.Domain(ref), creds)
	if err != nil {
		return nil, err
	}
	resolver := docker.NewResolver(docker.ResolverOptions{
		Headers: c.headers(),
		Hosts:   func(string) ([]docker.RegistryHost, error) { return hosts, nil },
	})
	r := &Repository{ref: ref, client: c, host: hosts[len(hosts)-1], resolver: resolver, known: creds != Credentials{}}
	if r.fetcher, err = resolver.Fetcher(ctx, ref.String()); err != nil {
		return nil, fmt.Errorf("open repository %s: %w", ref, err)
	}
	return r, nil
}

func (c *Client) headers() http.Header {
	headers := http.Header{}
	if c.options.UserAgent != "" {
		headers.Set("User-Agent", c.options.UserAgent)
	}
	return headers
}

// Resolve returns what the reference names. NotFound has Docker's wording.
func (r *Repository) Resolve(ctx context.Context) (ocispec.Descriptor, error) {
	_, desc, err := r.resolver.Resolve(ctx, r.ref.String())
	if err != nil {
		return ocispec.Descriptor{}, r.explain(ctx, err, "pull")
	}
	return desc, nil
}

// Fetch opens a blob or manifest at an offset.
func (r *Repository) Fetch(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	body, err := r.fetcher.Fetch(ctx, desc)
	if err != nil {
		return nil, r.explain(ctx, err, "pull")
	}
	if offset > 0 {
		seeker, ok := body.(io.Seeker)
		if !ok {
			body.Close()
			return nil, errdefs.ErrNotImplemented.WithMessage("the registry cannot resume " + desc.Digest.String())
		}
		if _, err := seeker.Seek(offset, io.SeekStart); err != nil {
			body.Close()
			return nil, r.explain(ctx, err, "pull")
		}
	}
	return &explained{ReadCloser: body, r: r, ctx: ctx}, nil
}

// explained words the errors of a body; the first read is what asks the
// registry.
type explained struct {
	io.ReadCloser
	r   *Repository
	ctx context.Context //nolint:containedctx // of the one transfer that this is
}

func (e *explained) Read(b []byte) (int, error) {
	n, err := e.ReadCloser.Read(b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = e.r.explain(e.ctx, err, "pull")
	}
	return n, err
}

// FetchAll reads a small blob of at most limit bytes and checks its digest.
func (r *Repository) FetchAll(ctx context.Context, desc ocispec.Descriptor, limit int64) ([]byte, error) {
	if desc.Size > limit {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s has %d bytes, more than the allowed %d", desc.Digest, desc.Size, limit))
	}
	body, err := r.Fetch(ctx, desc, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, limit+1))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("%s is truncated: %d of %d bytes came; try again", desc.Digest, len(b), desc.Size))
	}
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", desc.Digest, err)
	}
	if got := desc.Digest.Algorithm().FromBytes(b); got != desc.Digest {
		return nil, errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("digest mismatch: asked for %s, the registry sent %s", desc.Digest, got))
	}
	return b, nil
}

// Push sends a blob or manifest of the repository; root is the digest that the
// reference's tag is to name. existed says that it was there.
func (r *Repository) Push(ctx context.Context, desc ocispec.Descriptor, root digest.Digest, body io.Reader) (existed bool, err error) {
	pusher, err := r.resolver.Pusher(ctx, r.ref.String()+"@"+root.String())
	if err != nil {
		return false, fmt.Errorf("open repository %s: %w", r.ref, err)
	}
	w, err := pusher.Push(ctx, desc)
	if errdefs.IsAlreadyExists(err) {
		return true, nil
	}
	if err != nil {
		return false, r.explain(ctx, err, "push")
	}
	defer w.Close()
	err = content.Copy(ctx, w, body, desc.Size, desc.Digest)
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return false, r.explain(ctx, err, "push")
	}
	return false, nil
}
