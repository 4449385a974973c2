package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-containers/berth/internal/registry/store"
)

// maxManifest is what the library takes; the specification asks for as much.
const maxManifest = 4 << 20

// everyType makes the library give what is stored. A client that did not say
// it knows a type still gets that type, named in the answer.
var everyType = []string{
	ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
	"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
}

func (s *Server) getManifest(w http.ResponseWriter, r *http.Request, rt route) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		errMethod.write(w)
		return
	}
	if r.Method == http.MethodHead && rt.digest != "" {
		// A push asks so whether it may leave this manifest out.
		if err := s.opt.Store.TouchManifest(r.Context(), rt.repository, rt.digest); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	if rt.digest != "" {
		beforeHeader(w, named(rt.digest))
	}
	r = r.Clone(r.Context())
	r.Header["Accept"] = slices.Clone(everyType)
	s.ask(w, r, rt, nil)
}

// push is a manifest on its way in.
type push struct {
	route
	manifest  store.Manifest
	content   []byte
	canonical digest.Digest
	mediaType string
}

func (s *Server) putManifest(w http.ResponseWriter, r *http.Request, rt route) {
	p, e := readPush(r, rt)
	if e != nil {
		e.write(w)
		return
	}
	ctx := r.Context()
	done, err := s.turns.take(ctx, rt.repository)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer done()
	defer s.opt.Store.Leases.Begin()()
	if err := s.protect(r, p); err != nil {
		s.fail(w, r, err)
		return
	}
	undo, err := s.usage.Charge(ctx, s.limits(r, rt.repository), p.canonical, int64(len(p.content)))
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	name := p.canonical
	if rt.digest != "" {
		name = rt.digest
	}
	var subject string
	if p.manifest.Subject != nil && p.manifest.Subject.Digest.Validate() == nil {
		subject = p.manifest.Subject.Digest.String()
		d := p.manifest.Descriptor(name, int64(len(p.content)), p.mediaType)
		if err := s.opt.Store.AddReferrer(ctx, rt.repository, p.manifest.Subject.Digest, d); err != nil {
			undo()
			s.fail(w, r, err)
			return
		}
	}
	beforeHeader(w, func(status int, h http.Header) {
		if status != http.StatusCreated {
			undo()
			return
		}
		if subject != "" {
			h.Set("OCI-Subject", subject)
		}
		named(name)(status, h)
	})
	if name != p.canonical {
		// Before the manifest: a link to nothing is not found.
		if err := s.opt.Store.LinkRevision(ctx, rt.repository, store.Link{Name: name, Canonical: p.canonical}); err != nil {
			s.fail(w, r, err)
			return
		}
		rt.reference = p.canonical.String()
	}
	r = r.Clone(ctx)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(p.content)), int64(len(p.content))
	r.Header.Set("Content-Type", p.mediaType)
	s.ask(w, r, rt, nil)
}

// readPush reads all of a manifest before anything is done for it.
func readPush(r *http.Request, rt route) (push, *apiError) {
	tooBig := &apiError{http.StatusRequestEntityTooLarge, "MANIFEST_INVALID", fmt.Sprintf("a manifest has at most %d MiB", maxManifest>>20)}
	if r.ContentLength > maxManifest {
		return push{}, tooBig
	}
	content, err := io.ReadAll(io.LimitReader(r.Body, maxManifest+1))
	switch {
	case err != nil:
		return push{}, &apiError{http.StatusBadRequest, "MANIFEST_INVALID", "the manifest did not come whole: " + err.Error()}
	case len(content) > maxManifest:
		return push{}, tooBig
	}
	p := push{route: rt, content: content, canonical: digest.FromBytes(content), mediaType: r.Header.Get("Content-Type")}
	if p.manifest, err = store.ParseManifest(content); err != nil {
		return push{}, &apiError{http.StatusBadRequest, "MANIFEST_INVALID", err.Error()}
	}
	if p.mediaType == "" {
		p.mediaType = p.manifest.MediaType
	}
	if rt.digest != "" && rt.digest.Algorithm().FromBytes(content) != rt.digest {
		return push{}, &apiError{http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("the manifest does not have the digest %s", rt.digest)}
	}
	return p, nil
}

// protect keeps what a manifest needs from being collected.
func (s *Server) protect(r *http.Request, p push) error {
	layers, parts := p.manifest.Content()
	if err := s.opt.Store.Leases.Touch(r.Context(), p.canonical); err != nil {
		return err
	}
	if err := s.opt.Store.TouchLayers(r.Context(), p.repository, layers...); err != nil {
		return err
	}
	for _, d := range parts {
		if err := s.opt.Store.TouchManifest(r.Context(), p.repository, d); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) deleteManifest(w http.ResponseWriter, r *http.Request, rt route) {
	ctx := r.Context()
	done, err := s.turns.take(ctx, rt.repository)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer done()
	if rt.digest == "" {
		s.ask(w, r, rt, nil)
		return
	}
	canonical, err := s.opt.Store.Revision(ctx, rt.repository, rt.digest)
	if errdefs.IsNotFound(err) {
		err = errdefs.ErrNotFound // the library's words for it are the same
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	// The other names first: the library knows nothing of them, and a manifest
	// that can still be got by its own can still be deleted.
	if err := s.opt.Store.UnlinkAliases(ctx, rt.repository, canonical); err != nil {
		s.fail(w, r, err)
		return
	}
	beforeHeader(w, func(int, http.Header) { s.usage.Reset() })
	rt.reference = canonical.String()
	s.ask(w, r, rt, nil)
}
