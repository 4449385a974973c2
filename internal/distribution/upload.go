package distribution

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// inOne is the largest blob that is sent in a single request.
	inOne = 64 << 10
	// maxSources is how many repositories are asked for one blob.
	maxSources = 3
)

// How a blob came to be in the repository; the zero value is by an upload.
type How struct {
	Existed bool   // it was there
	Mounted string // the repository that the registry had it in
}

// Source opens a blob at an offset.
type Source func(offset int64) io.Reader

// PushBlob brings a blob into the repository: not at all if it is there, by
// a mount from one of the repositories (paths on the same registry) that may
// have it, or by an upload, which goes on where it broke off if the registry
// remembers.
func (r *Repository) PushBlob(ctx context.Context, desc ocispec.Descriptor, from []string, source Source) (How, error) {
	h, err := r.pushHost()
	if err != nil {
		return How{}, err
	}
	u := &upload{r: r, h: h, desc: desc, source: source}
	how, err := u.run(ctx, from)
	if err != nil {
		return How{}, r.explain(ctx, err, "push")
	}
	return how, nil
}

func (r *Repository) pushHost() (docker.RegistryHost, error) {
	for _, h := range r.hosts {
		if h.Capabilities.Has(docker.HostCapabilityPush) {
			return h, nil
		}
	}
	return docker.RegistryHost{}, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("no host of hosts.toml may be pushed to for %s", reference.Domain(r.ref)))
}

func (r *Repository) push(h docker.RegistryHost, method string, parts ...string) request {
	q := r.get(h, method, parts...)
	q.scope = []string{"repository:" + reference.Path(r.ref) + ":pull,push"}
	return q
}

// upload is one blob on its way.
type upload struct {
	r      *Repository
	h      docker.RegistryHost
	desc   ocispec.Descriptor
	source Source
	where  *url.URL // what to ask to go on
	own    bool     // that is the registry itself, not a store that it sends to
	offset int64    // what the registry has
}

func (u *upload) run(ctx context.Context, from []string) (How, error) {
	if there, err := u.exists(ctx); there || err != nil {
		return How{Existed: there}, err
	}
	for _, repository := range from[:min(len(from), maxSources)] {
		if mounted, err := u.begin(ctx, repository); mounted || err != nil {
			return How{Mounted: repository}, err
		}
		if u.where != nil {
			break // it has no such blob there, and began an upload in place
		}
	}
	if u.where == nil {
		if _, err := u.begin(ctx, ""); err != nil {
			return How{}, err
		}
	}
	for stalls := 0; ; stalls++ {
		before := u.offset
		err := u.send(ctx)
		if err == nil {
			return How{}, nil
		}
		wait, again := u.resumable(stalls, err)
		if !again || ctx.Err() != nil {
			return How{}, err
		}
		if err := sleep(ctx, wait); err != nil {
			return How{}, err
		}
		if there, err := u.resume(ctx); there || err != nil {
			return How{}, err
		}
		if u.offset-before >= step {
			stalls = -1
		}
	}
}

// resumable says if an upload that failed is worth going on with.
func (u *upload) resumable(stalls int, err error) (wait time.Duration, again bool) {
	var later postponed
	wait, again = pause(stalls, false, nil, io.ErrUnexpectedEOF)
	switch s := status(err); {
	case errors.As(err, &later):
		return max(later.wait, firstWait), again && later.wait <= longestWait
	case s == http.StatusNotFound, s == http.StatusRequestedRangeNotSatisfiable: // it lost the upload or a part
		return wait, again
	case s != 0:
		return wait, again && passing(s)
	}
	return pause(stalls, true, nil, err)
}

func (u *upload) exists(ctx context.Context) (bool, error) {
	resp, err := u.r.client.send(ctx, u.h, u.r.push(u.h, http.MethodHead, "blobs", u.desc.Digest.String()))
	switch {
	case err == nil:
		resp.Body.Close()
		return true, nil
	case status(err) == http.StatusNotFound, refused(err): // one who may not push is told by the upload
		return false, nil
	}
	return false, err
}

// begin begins an upload; with the name of another repository it asks for its
// blob first. A registry that refuses that is none the wiser.
func (u *upload) begin(ctx context.Context, from string) (mounted bool, err error) {
	q := u.r.push(u.h, http.MethodPost, "blobs", "uploads/")
	if from != "" {
		q.query = url.Values{"mount": {u.desc.Digest.String()}, "from": {from}}
		q.scope = append(q.scope, "repository:"+from+":pull")
	}
	resp, err := u.r.client.send(ctx, u.h, q)
	if err != nil {
		if s := status(err); from != "" && (refused(err) || s >= 400 && s < 500 && !passing(s)) {
			return false, nil
		}
		return false, err
	}
	resp.Body.Close()
	if from != "" && resp.StatusCode == http.StatusCreated {
		return true, nil
	}
	u.offset = 0
	return false, u.follow(resp)
}

// follow takes the address at which the upload goes on.
func (u *upload) follow(resp *http.Response) error {
	location := resp.Header.Get("Location")
	if location == "" {
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("registry %s began an upload without saying where to; is it a registry?", u.h.Host))
	}
	to, err := url.Parse(location)
	if err != nil {
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("registry %s sends the upload to %q: %v", u.h.Host, location, err))
	}
	asked := resp.Request.URL
	u.where = asked.ResolveReference(to)
	// The credentials of the registry are for no other host, and not for a
	// connection in plain text if this one was not.
	u.own = strings.EqualFold(u.where.Host, u.h.Host) && strings.EqualFold(asked.Host, u.h.Host) && u.where.Scheme == asked.Scheme
	return nil
}

// ask sends a request to where the upload is.
func (u *upload) ask(ctx context.Context, q request) (*http.Response, error) {
	h := docker.RegistryHost{Client: u.h.Client, Scheme: u.where.Scheme, Host: u.where.Host}
	if u.own {
		h.Authorizer, h.Header, h.Scheme = u.h.Authorizer, u.h.Header, u.h.Scheme
	}
	q.path, q.once = u.where.RequestURI(), true
	q.scope = []string{"repository:" + reference.Path(u.r.ref) + ":pull,push"}
	return u.r.client.send(ctx, h, q)
}

// send sends what the registry has not, and closes the upload.
func (u *upload) send(ctx context.Context) error {
	octets := http.Header{"Content-Type": {"application/octet-stream"}}
	last := request{method: http.MethodPut, header: octets, query: url.Values{"digest": {u.desc.Digest.String()}}}
	if u.offset == 0 && u.desc.Size <= inOne {
		last.size, last.body = u.desc.Size, func() io.Reader { return u.source(0) }
	} else if err := u.patch(ctx); err != nil {
		return err
	}
	resp, err := u.ask(ctx, last)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if got := digest.Digest(resp.Header.Get("Docker-Content-Digest")); got != "" && got != u.desc.Digest && got.Algorithm() == u.desc.Digest.Algorithm() {
		return dataLoss("registry %s stored %s as %s", u.h.Host, u.desc.Digest, got)
	}
	return nil
}

func (u *upload) patch(ctx context.Context) error {
	for u.offset < u.desc.Size {
		from := u.offset
		header := http.Header{"Content-Type": {"application/octet-stream"}}
		if from > 0 {
			header.Set("Content-Range", fmt.Sprintf("%d-%d", from, u.desc.Size-1))
		}
		resp, err := u.ask(ctx, request{
			method: http.MethodPatch, header: header,
			size: u.desc.Size - from, body: func() io.Reader { return u.source(from) },
		})
		if err != nil {
			return err
		}
		resp.Body.Close()
		u.offset = u.desc.Size
		if has, ok := u.has(resp); ok {
			u.offset = has
		}
		if u.offset <= from {
			return io.ErrUnexpectedEOF // it took nothing
		}
		if err := u.follow(resp); err != nil {
			return err
		}
	}
	return nil
}

// has reads how much the registry has.
func (u *upload) has(resp *http.Response) (int64, bool) {
	var end int64
	n, err := fmt.Sscanf(strings.TrimPrefix(resp.Header.Get("Range"), "bytes="), "0-%d", &end)
	if n != 1 || err != nil || end < 0 || end >= u.desc.Size {
		return 0, false
	}
	if end == 0 { // of one byte or, as some registries say it, of none
		return 0, false
	}
	return end + 1, true
}

// resume finds out where to go on after a failure: where the upload was, if the
// registry remembers it, or at the beginning of a new one. The blob may be there
// if only the answer got lost.
func (u *upload) resume(ctx context.Context) (there bool, err error) {
	resp, err := u.ask(ctx, request{method: http.MethodGet, midway: true})
	if err == nil {
		resp.Body.Close()
		if has, ok := u.has(resp); ok {
			u.offset = has
			if resp.Header.Get("Location") != "" {
				err = u.follow(resp)
			}
			return false, err
		}
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if there, err := u.exists(ctx); there || err != nil {
		return there, err
	}
	_, err = u.begin(ctx, "")
	return false, err
}

// PushManifest sends a manifest or index, under the reference's tag if it is
// what the tag is to name, and says if it was there.
func (r *Repository) PushManifest(ctx context.Context, desc ocispec.Descriptor, tagged bool, b []byte) (existed bool, err error) {
	h, err := r.pushHost()
	if err != nil {
		return false, err
	}
	object := desc.Digest.String()
	if t, ok := r.ref.(reference.Tagged); ok && tagged {
		object = t.Tag()
	}
	q := r.push(h, http.MethodHead, "manifests", object)
	q.header = http.Header{"Accept": {desc.MediaType + ", */*"}}
	resp, err := r.client.send(ctx, h, q)
	if err == nil {
		resp.Body.Close()
		if digest.Digest(resp.Header.Get("Docker-Content-Digest")) == desc.Digest {
			return true, nil
		}
	} else if s := status(err); s != http.StatusNotFound && s != http.StatusMethodNotAllowed && !refused(err) {
		return false, r.explain(ctx, err, "push")
	}
	q = r.push(h, http.MethodPut, "manifests", object)
	q.header = http.Header{"Content-Type": {desc.MediaType}}
	q.size, q.body, q.midway = desc.Size, func() io.Reader { return bytes.NewReader(b) }, true
	if resp, err = r.client.send(ctx, h, q); err != nil {
		return false, r.explain(ctx, err, "push")
	}
	resp.Body.Close()
	if got := digest.Digest(resp.Header.Get("Docker-Content-Digest")); got != "" && got != desc.Digest && got.Algorithm() == desc.Digest.Algorithm() {
		return false, dataLoss("registry %s stored manifest %s as %s", h.Host, desc.Digest, got)
	}
	return false, nil
}
