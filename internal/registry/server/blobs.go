package server

import (
	"io"
	"net/http"
	"net/url"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/berth-containers/berth/internal/registry/rights"
	"github.com/berth-containers/berth/internal/registry/store"
)

func (s *Server) blob(w http.ResponseWriter, r *http.Request, rt route) {
	if r.Method == http.MethodHead {
		// A push asks so whether it may leave this blob out.
		if err := s.opt.Store.TouchLayers(r.Context(), rt.repository, rt.digest); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	beforeHeader(w, func(status int, h http.Header) {
		if r.Method == http.MethodDelete {
			s.usage.Reset()
		}
		named(rt.digest)(status, h)
	})
	s.ask(w, r, rt, nil)
}

// uploads bring blobs.
type uploads struct{ *Server }

// startUpload begins an upload, or mounts a blob of a repository which the
// caller may pull from. From any other it begins an upload, as if that had no
// such blob.
func (s uploads) startUpload(w http.ResponseWriter, r *http.Request, rt route) {
	limits := s.limits(r, rt.repository)
	if free, l, err := s.usage.Free(r.Context(), limits); err != nil || free == 0 {
		if err == nil {
			err = l.Exceeded(l.Bytes, 1)
		}
		s.refuse(w, r, err)
		return
	}
	query := r.URL.Query()
	mount, from := query.Get("mount"), query.Get("from")
	source, e := parseRoute("/v2/" + from + "/blobs/" + mount)
	if e != nil || !callerOf(r).may(rights.Pull, source.repository) {
		s.ask(w, r, rt, nil)
		return
	}
	canonical, err := s.opt.Store.Layer(r.Context(), source.repository, source.digest)
	if errdefs.IsNotFound(err) {
		s.ask(w, r, rt, nil)
		return
	}
	if err == nil {
		err = s.mount(w, r, rt, source, canonical)
	}
	if err != nil {
		s.refuse(w, r, err)
	}
}

func (s uploads) mount(w http.ResponseWriter, r *http.Request, rt, source route, canonical digest.Digest) error {
	defer s.opt.Store.Leases.Begin()()
	ctx := r.Context()
	if err := s.opt.Store.Leases.Touch(ctx, canonical); err != nil {
		return err
	}
	size, err := s.opt.Store.Size(ctx, canonical)
	if errdefs.IsNotFound(err) {
		s.ask(w, r, rt, nil)
		return nil
	}
	if err != nil {
		return err
	}
	undo, err := s.usage.Charge(ctx, s.limits(r, rt.repository), canonical, size)
	if err != nil {
		return err
	}
	if source.digest != canonical {
		if err := s.opt.Store.LinkLayer(ctx, rt.repository, store.Link{Name: source.digest, Canonical: canonical}); err != nil {
			undo()
			return err
		}
	}
	beforeHeader(w, func(status int, h http.Header) {
		if status != http.StatusCreated {
			undo()
			return
		}
		named(source.digest)(status, h)
	})
	s.ask(w, r, rt, url.Values{"mount": {canonical.String()}, "from": {source.repository}})
	return nil
}

// upload takes a piece of a blob, or its end.
func (s uploads) upload(w http.ResponseWriter, r *http.Request, rt route) {
	switch r.Method {
	case http.MethodPatch:
		if s.limitBody(w, r, rt) {
			s.ask(w, r, rt, pass(r, "_state"))
		}
	case http.MethodPut:
		s.finishUpload(w, r, rt)
	default:
		s.ask(w, r, rt, pass(r, "_state"))
	}
}

// pass keeps some parameters.
func pass(r *http.Request, names ...string) url.Values {
	in, out := r.URL.Query(), url.Values{}
	for _, n := range names {
		if in.Has(n) {
			out.Set(n, in.Get(n))
		}
	}
	return out
}

// limitBody answers a request that says it brings more than fits, and breaks
// one off that brings more without saying so.
func (s uploads) limitBody(w http.ResponseWriter, r *http.Request, rt route) bool {
	limits := s.limits(r, rt.repository)
	if len(limits) == 0 {
		return true
	}
	free, tightest, err := s.usage.Free(r.Context(), limits)
	var size int64
	if err == nil {
		size, err = s.opt.Store.UploadSize(r.Context(), rt.repository, rt.reference)
	}
	room := free - size
	if err == nil && (room < 0 || r.ContentLength > room) {
		err = tightest.Exceeded(tightest.Bytes-free, size+max(r.ContentLength, 1))
	}
	if err != nil {
		s.refuse(w, r, err)
		return false
	}
	r.Body = &bounded{ReadCloser: r.Body, left: room}
	return true
}

// bounded fails where io.LimitReader would end.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooBig
	}
	return n, err
}

func (s uploads) finishUpload(w http.ResponseWriter, r *http.Request, rt route) {
	d, err := digest.Parse(r.URL.Query().Get("digest"))
	if err != nil {
		errDigest(err).write(w)
		return
	}
	if !s.limitBody(w, r, rt) {
		return
	}
	defer s.opt.Store.Leases.Begin()()
	ctx := r.Context()
	size, err := s.opt.Store.UploadSize(ctx, rt.repository, rt.reference)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	limits := s.limits(r, rt.repository)
	// Only under its canonical digest can a blob be counted before it is whole.
	undo := func() {}
	if d.Algorithm() == digest.Canonical {
		if undo, err = s.usage.Charge(ctx, limits, d, size+max(r.ContentLength, 0)); err != nil {
			s.refuse(w, r, err)
			return
		}
		err = s.opt.Store.Leases.Touch(ctx, d)
	} else {
		var done func()
		if done, err = s.opt.Store.Leases.Unnamed(ctx); err == nil {
			defer done()
		}
	}
	if err != nil {
		undo()
		s.fail(w, r, err)
		return
	}
	beforeHeader(w, func(status int, h http.Header) {
		if status != http.StatusCreated {
			undo()
			return
		}
		s.noteBlob(r, limits, d, h.Get("Docker-Content-Digest"))
		named(d)(status, h)
	})
	query := pass(r, "_state")
	query.Set("digest", d.String())
	s.ask(w, r, rt, query)
}

// noteBlob counts a blob that came under another name than its canonical one.
func (s uploads) noteBlob(r *http.Request, limits []store.Limit, d digest.Digest, canonical string) {
	c, err := digest.Parse(canonical)
	if err != nil || c == d {
		return
	}
	if err := s.opt.Store.Leases.Touch(r.Context(), c); err != nil {
		return // the client is gone, and the blob young
	}
	if len(limits) > 0 {
		s.usage.Reset()
	}
}
