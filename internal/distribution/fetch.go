package distribution

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// MaxManifestBytes is the largest manifest or index that is read.
	MaxManifestBytes = 4 << 20
	// step is how much must come over a connection that breaks for the transfer
	// to count as one that gets on.
	step = 64 << 10
)

// manifestTypes are asked for when only a name is known.
var manifestTypes = strings.Join([]string{
	images.MediaTypeDockerSchema2Manifest, images.MediaTypeDockerSchema2ManifestList,
	ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, "*/*",
}, ", ")

// Fetch opens a blob or manifest at an offset. A connection that breaks is
// made again while the transfer gets on. A layer that the registry has not is
// fetched from the addresses in its descriptor, if their hosts are allowed.
func (r *Repository) Fetch(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("digest %q: %v", desc.Digest, err))
	}
	b := &body{r: r, ctx: ctx, desc: desc, offset: offset, began: offset, ReadCloser: http.NoBody}
	if desc.Size > 0 && offset >= desc.Size {
		return b, nil
	}
	return b, b.open(false)
}

// body is a blob as it comes.
type body struct {
	io.ReadCloser // of the connection
	r             *Repository
	ctx           context.Context //nolint:containedctx // of the one transfer that this is
	desc          ocispec.Descriptor
	offset, began int64 // of all, and where the connection began
	stalls        int   // connections in a row that brought next to nothing
}

func (b *body) open(midway bool) error {
	kind := "blobs"
	if images.IsManifestType(b.desc.MediaType) || images.IsIndexType(b.desc.MediaType) {
		kind = "manifests"
	}
	err := b.r.each(b.ctx, docker.HostCapabilityPull, "pull", func(h docker.RegistryHost, last bool) error {
		q := b.r.get(h, http.MethodGet, kind, b.desc.Digest.String())
		q.once, q.midway = !last, midway
		err := b.connect(h, q)
		if last && status(err) == http.StatusNotFound && kind == "blobs" {
			return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("registry %s has no blob %s", h.Host, b.desc.Digest))
		}
		return err
	})
	if errdefs.IsNotFound(err) && kind == "blobs" && len(b.desc.URLs) > 0 {
		return b.foreign(midway)
	}
	return err
}

func (b *body) connect(h docker.RegistryHost, q request) error {
	q.header = http.Header{"Accept": {"*/*"}}
	if b.desc.MediaType != "" {
		q.header.Set("Accept", b.desc.MediaType+", */*")
	}
	if b.offset > 0 {
		q.header.Set("Range", fmt.Sprintf("bytes=%d-", b.offset))
	}
	resp, err := b.r.client.send(b.ctx, h, q)
	if err != nil {
		return err
	}
	if err := b.check(resp, h.Host); err != nil {
		resp.Body.Close()
		return err
	}
	b.ReadCloser, b.began = resp.Body, b.offset
	return nil
}

// check finds an answer that is not what was asked for before it is read.
func (b *body) check(resp *http.Response, host string) error {
	begins := int64(0)
	if resp.StatusCode == http.StatusPartialContent {
		n, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &begins)
		if n != 1 || err != nil || begins != b.offset {
			return dataLoss("registry %s was asked for %s from byte %d on and answered with the range %q", host, b.desc.Digest, b.offset, resp.Header.Get("Content-Range"))
		}
	}
	if total := begins + resp.ContentLength; resp.ContentLength >= 0 && b.desc.Size > 0 && total != b.desc.Size {
		page := ""
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
			page = " of a web page (is a proxy in between that wants a login?)"
		}
		return dataLoss("registry %s has %d bytes%s for %s, not the %d that the manifest says", host, total, page, b.desc.Digest, b.desc.Size)
	}
	if begins == b.offset {
		return nil
	}
	// It does not know ranges.
	if _, err := io.CopyN(io.Discard, resp.Body, b.offset); err != nil {
		return fmt.Errorf("skip to byte %d: %w", b.offset, err)
	}
	return nil
}

// foreign opens a layer that is kept outside of the registry.
func (b *body) foreign(midway bool) error {
	var refused []string
	var last error
	for _, text := range b.desc.URLs {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
			last = errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("layer %s is to be fetched from %q, that is no web address", b.desc.Digest, text))
			continue
		}
		if !b.r.client.options.Registries.ForeignFrom(u.Hostname()) {
			refused = append(refused, u.Hostname())
			continue
		}
		h := docker.RegistryHost{Client: &http.Client{Transport: b.r.client.attended(b.r.client.secure)}, Scheme: u.Scheme, Host: u.Host}
		if last = b.connect(h, request{method: http.MethodGet, path: u.RequestURI(), midway: midway}); last == nil {
			return nil
		}
		last = unreachable(last, "fetch layer "+b.desc.Digest.String(), u.Host)
	}
	if len(refused) > 0 {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
			"layer %s is kept outside of the registry, at %s; if this engine may fetch from there, add the host to \"foreign\" of \"registries\" in its configuration",
			b.desc.Digest, strings.Join(slices.Compact(refused), ", ")))
	}
	return last
}

func (b *body) Read(p []byte) (int, error) {
	for {
		n, err := b.ReadCloser.Read(p)
		b.offset += int64(n)
		if err == nil || errors.Is(err, io.EOF) && (b.desc.Size <= 0 || b.offset >= b.desc.Size) {
			return n, err
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if b.ctx.Err() != nil || !broke(err) {
			return n, b.r.explain(b.ctx, err, "pull")
		}
		if again := b.again(); again != nil {
			return n, again
		}
		if n > 0 {
			return n, nil
		}
	}
}

// again makes a connection that broke once more.
func (b *body) again() error {
	b.ReadCloser.Close()
	if b.offset-b.began >= step {
		b.stalls = 0
	}
	wait, again := pause(b.stalls, false, nil, io.ErrUnexpectedEOF)
	if !again {
		return io.ErrUnexpectedEOF
	}
	b.stalls++
	if err := sleep(b.ctx, wait); err != nil {
		return err
	}
	b.ReadCloser = http.NoBody
	return b.open(true)
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
	if int64(len(b)) > limit {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s has more than the allowed %d bytes", desc.Digest, limit))
	}
	if got := desc.Digest.Algorithm().FromBytes(b); got != desc.Digest {
		return nil, dataLoss("digest mismatch: asked for %s, the registry sent %s", desc.Digest, got)
	}
	return b, nil
}

// object is the tag or digest that the reference names.
func (r *Repository) object() string {
	if d, ok := r.ref.(reference.Digested); ok {
		return d.Digest().String()
	}
	if t, ok := r.ref.(reference.Tagged); ok {
		return t.Tag()
	}
	return "latest"
}

// Resolve returns what the reference names. NotFound has Docker's wording.
func (r *Repository) Resolve(ctx context.Context) (desc ocispec.Descriptor, err error) {
	need := docker.HostCapabilityPull
	if _, ok := r.ref.(reference.Digested); !ok {
		need |= docker.HostCapabilityResolve
	}
	err = r.each(ctx, need, "pull", func(h docker.RegistryHost, last bool) (err error) {
		desc, err = r.resolve(ctx, h, last)
		return err
	})
	return desc, err
}

func (r *Repository) resolve(ctx context.Context, h docker.RegistryHost, last bool) (ocispec.Descriptor, error) {
	q := r.get(h, http.MethodHead, "manifests", r.object())
	q.header, q.once = http.Header{"Accept": {manifestTypes}}, !last
	resp, err := r.client.send(ctx, h, q)
	if err == nil {
		resp.Body.Close()
		desc, whole, err := described(resp)
		if whole || err != nil {
			return desc, r.right(desc, err)
		}
	} else if s := status(err); s != http.StatusMethodNotAllowed && s != http.StatusBadRequest && s != http.StatusForbidden {
		return ocispec.Descriptor{}, err
	}
	// The head does not say enough, or not why it was refused.
	q.method = http.MethodGet
	if resp, err = r.client.send(ctx, h, q); err != nil {
		return ocispec.Descriptor{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, MaxManifestBytes+1))
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: typeOf(resp.Header, b), Size: int64(len(b)), Digest: digest.FromBytes(b)}
	return desc, r.right(desc, nil)
}

// described reads a manifest's descriptor off an answer; whole says if all of
// it is there.
func described(resp *http.Response) (desc ocispec.Descriptor, whole bool, err error) {
	desc = ocispec.Descriptor{
		MediaType: typeOf(resp.Header, nil), Size: resp.ContentLength,
		Digest: digest.Digest(resp.Header.Get("Docker-Content-Digest")),
	}
	if desc.Digest != "" {
		if err := desc.Digest.Validate(); err != nil {
			return desc, false, dataLoss("registry %s says that the digest is %q: %v", resp.Request.URL.Host, desc.Digest, err)
		}
	}
	return desc, desc.Digest != "" && desc.Size >= 0 && desc.MediaType != "", nil
}

// right finds a descriptor that is not of what was asked for.
func (r *Repository) right(desc ocispec.Descriptor, err error) error {
	if err != nil {
		return err
	}
	if d, ok := r.ref.(reference.Digested); ok && d.Digest() != desc.Digest && d.Digest().Algorithm() == desc.Digest.Algorithm() {
		return dataLoss("digest mismatch: asked for %s, the registry has %s", d.Digest(), desc.Digest)
	}
	if desc.Size > MaxManifestBytes {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the manifest of %s is larger than allowed (%d bytes)", reference.FamiliarString(r.ref), MaxManifestBytes))
	}
	if desc.MediaType == "text/html" {
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("%s: the registry answered with a web page, not a manifest; is its name right, or is a proxy in between that wants a login?", reference.FamiliarString(r.ref)))
	}
	return nil
}

func dataLoss(format string, args ...any) error {
	return errdefs.ErrDataLoss.WithMessage(fmt.Sprintf(format, args...))
}
