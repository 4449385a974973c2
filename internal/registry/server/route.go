package server

import (
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/berth-containers/berth/internal/registry/rights"
)

// kind is what a path of the API is about.
type kind string

const (
	kindManifest  kind = "manifest"
	kindBlob      kind = "blob"
	kindUploads   kind = "uploads" // where an upload begins
	kindUpload    kind = "upload"
	kindTags      kind = "tags"
	kindReferrers kind = "referrers"
)

// route is a path below /v2/, taken apart. The distribution library is asked
// with a path made of these parts again, so that what was allowed and what is
// done are the same.
type route struct {
	kind       kind
	repository string
	reference  string // a tag, a digest, an upload's ID
	digest     digest.Digest
}

var (
	validRepository = regexp.MustCompile(`^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$`)
	validTag        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	validUpload     = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
)

const maxRepository = 255

// parseRoute takes a path apart from its end, as a repository may itself be
// called "blobs" or "manifests". The error is one to answer with.
func parseRoute(path string) (route, *apiError) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return route{}, errNotFound
	}
	parts := strings.Split(rest, "/")
	n := len(parts)
	r := route{}
	name := 0
	switch {
	case n >= 4 && parts[n-3] == "blobs" && parts[n-2] == "uploads" && parts[n-1] == "":
		r.kind, name = kindUploads, n-3
	case n >= 3 && parts[n-2] == "blobs" && parts[n-1] == "uploads":
		r.kind, name = kindUploads, n-2
	case n >= 4 && parts[n-3] == "blobs" && parts[n-2] == "uploads":
		r.kind, r.reference, name = kindUpload, parts[n-1], n-3
	case n >= 3 && parts[n-2] == "blobs":
		r.kind, r.reference, name = kindBlob, parts[n-1], n-2
	case n >= 3 && parts[n-2] == "manifests":
		r.kind, r.reference, name = kindManifest, parts[n-1], n-2
	case n >= 3 && parts[n-2] == "referrers":
		r.kind, r.reference, name = kindReferrers, parts[n-1], n-2
	case n >= 3 && parts[n-2] == "tags" && parts[n-1] == "list":
		r.kind, name = kindTags, n-2
	default:
		return route{}, errNotFound
	}
	r.repository = strings.Join(parts[:name], "/")
	if len(r.repository) > maxRepository || !validRepository.MatchString(r.repository) {
		return route{}, errName
	}
	return r, r.parseReference()
}

func (r *route) parseReference() *apiError {
	switch r.kind {
	case kindUpload:
		if !validUpload.MatchString(r.reference) {
			return errUpload
		}
	case kindBlob, kindReferrers:
		return r.parseDigest()
	case kindManifest:
		if strings.Contains(r.reference, ":") {
			return r.parseDigest()
		}
		if !validTag.MatchString(r.reference) {
			return errTag
		}
	}
	return nil
}

func (r *route) parseDigest() *apiError {
	d, err := digest.Parse(r.reference)
	if err != nil {
		return errDigest(err)
	}
	r.digest = d
	return nil
}

// path is the path to ask the distribution library with.
func (r route) path() string {
	base := "/v2/" + r.repository
	switch r.kind {
	case kindUploads:
		return base + "/blobs/uploads/"
	case kindUpload:
		return base + "/blobs/uploads/" + r.reference
	case kindBlob:
		return base + "/blobs/" + r.reference
	case kindTags:
		return base + "/tags/list"
	}
	return base + "/manifests/" + r.reference
}

// action is the right that a request needs.
func (r route) action(method string) rights.Action {
	switch {
	case r.kind == kindUploads || r.kind == kindUpload:
		return rights.Push // also to end one's own upload
	case method == "GET" || method == "HEAD":
		return rights.Pull
	case method == "DELETE":
		return rights.Delete
	}
	return rights.Push
}
