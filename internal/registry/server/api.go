package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-containers/berth/internal/registry/rights"
	"github.com/berth-containers/berth/internal/registry/store"
)

// api answers what is below /v2/.
func (s *Server) api(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	switch r.URL.Path {
	case "/v2/":
		s.ping(w, r)
		return
	case "/v2/_catalog":
		s.catalog(w, r)
		return
	}
	rt, e := parseRoute(r.URL.Path)
	if e != nil {
		// Also to who may do nothing: it tells nothing.
		e.write(w)
		return
	}
	if !s.authorize(w, r, rt.action(r.Method), rt.repository) {
		return
	}
	reading := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case s.opt.Upstream != nil && !reading:
		errReadOnly.write(w)
	case rt.kind == kindReferrers:
		s.referrers(w, r, rt)
	case rt.kind == kindManifest && r.Method == http.MethodPut:
		s.putManifest(w, r, rt)
	case rt.kind == kindManifest && r.Method == http.MethodDelete:
		s.deleteManifest(w, r, rt)
	case rt.kind == kindManifest:
		s.getManifest(w, r, rt)
	case rt.kind == kindBlob:
		s.blob(w, r, rt)
	case rt.kind == kindUploads && r.Method == http.MethodPost:
		uploads{s}.startUpload(w, r, rt)
	case rt.kind == kindUpload:
		uploads{s}.upload(w, r, rt)
	default:
		s.ask(w, r, rt, r.URL.Query())
	}
}

// ask passes a request on to the library, with a path and a query that are
// made anew. A form in the body, which the library would read more parameters
// from, stays a body.
func (s *Server) ask(w http.ResponseWriter, r *http.Request, rt route, query url.Values) {
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath = rt.path(), ""
	r.URL.RawQuery = query.Encode()
	r.RequestURI = r.URL.RequestURI()
	if rt.kind == kindUploads || rt.kind == kindUpload {
		r.Header.Set("Content-Type", "application/octet-stream")
	}
	if out, ok := w.(*response); ok {
		out.hide = true
		defer out.tell()
	}
	s.backend.ServeHTTP(w, r)
}

// ping tells clients how to log in. It asks also those who need not, since a
// client that is not asked here does not show its password later.
func (s *Server) ping(w http.ResponseWriter, r *http.Request) {
	if c := callerOf(r); c.rights != nil && c.name == "" && r.Header.Get("Authorization") == "" {
		s.challenge(w, r, "", "log in, or go on without a name")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, "{}")
}

const maxPage = 1000

// catalog lists the repositories which the caller may pull from.
func (s *Server) catalog(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		errMethod.write(w)
		return
	}
	c := callerOf(r)
	if c.rights != nil && c.name == "" && r.Header.Get("Authorization") == "" {
		s.challenge(w, r, "registry:catalog:*", "log in to list repositories")
		return
	}
	n := maxPage
	if text := r.URL.Query().Get("n"); text != "" {
		asked, err := strconv.Atoi(text)
		if err != nil || asked < 0 {
			(&apiError{http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "n is a number of repositories"}).write(w)
			return
		}
		n = min(asked, maxPage)
	}
	last := r.URL.Query().Get("last")
	names, err := s.visible(r, c)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page := []string{}
	for _, name := range names {
		if name > last {
			page = append(page, name)
		}
	}
	if len(page) > n {
		page = page[:n]
		if n > 0 {
			w.Header().Set("Link", fmt.Sprintf(`</v2/_catalog?n=%d&last=%s>; rel="next"`, n, url.QueryEscape(page[n-1])))
		}
	}
	writeJSON(w, "application/json", map[string]any{"repositories": page})
}

// visible lists the repositories with something in them that a caller may pull.
func (s *Server) visible(r *http.Request, c caller) ([]string, error) {
	names := []string{}
	err := s.opt.Store.Repositories(r.Context(), func(name string) error {
		if !c.may(rights.Pull, name) {
			return nil
		}
		used, err := s.opt.Store.Used(r.Context(), name)
		if used {
			names = append(names, name)
		}
		return err
	})
	slices.Sort(names)
	return names, err
}

func writeJSON(w http.ResponseWriter, contentType string, value any) {
	b, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // the client went away
}

// referrers lists what has a manifest as its subject.
func (s *Server) referrers(w http.ResponseWriter, r *http.Request, rt route) {
	if r.Method != http.MethodGet {
		errMethod.write(w)
		return
	}
	if s.opt.Upstream != nil {
		// A client then uses the tag that stands for the list, which is cached.
		(&apiError{http.StatusNotFound, "UNSUPPORTED", "a pull-through cache has no list of referrers"}).write(w)
		return
	}
	list, err := s.opt.Store.Referrers(r.Context(), rt.repository, rt.digest)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if kind := r.URL.Query().Get("artifactType"); kind != "" {
		list = slices.DeleteFunc(list, func(d ocispec.Descriptor) bool { return d.ArtifactType != kind })
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	writeJSON(w, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: list,
	})
}

// limits are the quotas of a repository.
func (s *Server) limits(r *http.Request, repository string) []store.Limit {
	c := callerOf(r)
	if c.rights == nil {
		return nil
	}
	var limits []store.Limit
	for _, q := range c.rights.Quotas(repository) {
		limits = append(limits, store.Limit{Pattern: q.Pattern, Bytes: q.Bytes, Match: func(name string) bool { return rights.Match(q.Pattern, name) }})
	}
	return limits
}

// refuse answers a push that does not fit, or another error.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if errdefs.IsResourceExhausted(err) {
		s.metrics.full.Inc()
	}
	s.fail(w, r, err)
}

// named puts the digest that the client used where the library put the canonical one.
func named(d digest.Digest) func(int, http.Header) {
	return func(status int, h http.Header) {
		canonical := h.Get("Docker-Content-Digest")
		if status >= 300 || canonical == "" || canonical == d.String() {
			return
		}
		h.Set("Docker-Content-Digest", d.String())
		if location := h.Get("Location"); location != "" {
			h.Set("Location", strings.Replace(location, canonical, d.String(), 1))
		}
		if tag := h.Get("Etag"); tag != "" {
			h.Set("Etag", fmt.Sprintf("%q", d))
		}
	}
}

var errTooBig = errors.New("more than the quota has room for")
