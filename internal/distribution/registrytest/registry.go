// Package registrytest is a registry in the process of a test, on loopback,
// that can misbehave in the ways registries do. It keeps nothing on disk.
package registrytest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// Mode is how a registry behaves.
type Mode int

// The modes. Wrong, Truncated, Hang, Error, Long, Short, Fading and Away concern
// large blobs.
const (
	OK Mode = iota
	Basic
	Token
	Wrong      // other bytes of the same length
	Truncated  // the second half never comes
	Hang       // half of the bytes, then silence
	HangHeader // no answer at all
	Error      // 500
	Long       // says that there is more than comes
	Short      // says that there is less than the manifest does
	Fading     // half of the bytes, then 500 for the rest
	Away       // redirects to Elsewhere
	Page       // a web page, whatever is asked for
	Loop       // gives tokens, and never takes one
	Busy       // 429 for an hour
	Lie        // says that a manifest has another digest
	Endless    // a list of tags that has no end
	TokenPage  // the token server sends a web page
	TokenHang  // the token server does not answer
	TokenFlood // the token server's answer has no end
	Cut        // takes half of an upload, then breaks off, and remembers
	CutForget  // the same, and forgets
)

// big is from where on a blob is large: configurations are not.
const big = 10_000

// The credentials that Basic and Token want.
const (
	Username = "user"
	Password = "secret"
)

// Registry is a registry. Its maps may be filled before the first request.
type Registry struct {
	server *httptest.Server
	stop   chan struct{}

	mu        sync.Mutex
	mode      Mode
	Blobs     map[digest.Digest][]byte
	Manifests map[string]Manifest // by repo:tag and repo@digest
	served    map[string]int      // requests by method and path
	// Elsewhere is where Away redirects to.
	Elsewhere string
	// Own makes repositories have only the blobs that were pushed to them.
	Own     bool
	owners  map[string]bool // repository and digest
	uploads map[string][]byte
	cut     int
	scopes  []string
}

// Manifest is a manifest or index.
type Manifest struct {
	MediaType string
	Body      []byte
}

// New starts a registry that ends with the test.
func New(t testing.TB, mode Mode) *Registry {
	r := &Registry{
		mode: mode, stop: make(chan struct{}),
		Blobs: map[digest.Digest][]byte{}, Manifests: map[string]Manifest{}, served: map[string]int{},
		owners: map[string]bool{}, uploads: map[string][]byte{},
	}
	r.server = httptest.NewServer(r)
	t.Cleanup(func() {
		close(r.stop)
		r.server.Close()
	})
	return r
}

// Host is the registry's host:port.
func (r *Registry) Host() string { return strings.TrimPrefix(r.server.URL, "http://") }

// Set changes the mode.
func (r *Registry) Set(m Mode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mode = m
}

// Served counts the requests of a method (RANGE: those for a part) for paths that contain part.
func (r *Registry) Served(method, part string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for k, c := range r.served {
		if strings.HasPrefix(k, method+" ") && strings.Contains(k, part) {
			n += c
		}
	}
	return n
}

// AddBlob adds a blob.
func (r *Registry) AddBlob(b []byte) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := digest.FromBytes(b)
	r.Blobs[d] = b
	return d
}

// AddManifest adds a manifest under a tag ("" for none).
func (r *Registry) AddManifest(repo, tag, mediaType string, b []byte) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := digest.FromBytes(b)
	r.Manifests[repo+"@"+d.String()] = Manifest{mediaType, b}
	if tag != "" {
		r.Manifests[repo+":"+tag] = Manifest{mediaType, b}
	}
	return d
}

// ServeHTTP answers as a registry does.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	mode := r.mode
	r.served[req.Method+" "+req.URL.Path]++
	r.mu.Unlock()
	if r.misbehave(w, req, mode) {
		return
	}
	if req.URL.Path == "/token" {
		r.token(w, req)
		return
	}
	if !r.allowed(w, req, mode) {
		return
	}
	repo, kind, name := split(req.URL.Path)
	switch {
	case req.URL.Path == "/v2/":
	case kind == "tags":
		r.tags(w, req, repo)
	case kind == "manifests":
		r.manifest(w, req, repo, name, mode)
	case kind == "blobs" && name == "uploads" && req.Method == http.MethodPost:
		r.begin(w, req, repo)
	case kind == "blobs" && strings.HasPrefix(name, "uploads/"):
		r.upload(w, req, repo, name, mode)
	case kind == "blobs" && r.Own && !r.owns(repo, name):
		failed(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown")
	case kind == "blobs":
		r.blob(w, req, name, mode)
	default:
		failed(w, http.StatusNotFound, "UNSUPPORTED", "not here")
	}
}

// split takes /v2/<repo>/<kind>/<name> apart.
func split(path string) (repo, kind, name string) {
	path = strings.Trim(strings.TrimPrefix(path, "/v2/"), "/")
	for _, kind := range []string{"manifests", "blobs", "tags"} {
		if repo, name, ok := strings.Cut(path, "/"+kind+"/"); ok {
			return repo, kind, name
		}
	}
	return path, "", ""
}

func (r *Registry) hang(req *http.Request) {
	select {
	case <-r.stop:
	case <-req.Context().Done():
	}
}

func (r *Registry) allowed(w http.ResponseWriter, req *http.Request, mode Mode) bool {
	user, password, basic := req.BasicAuth()
	switch {
	case mode == Basic && !(basic && user == Username && password == Password):
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
	case mode == Loop, mode >= TokenPage && mode <= TokenFlood, mode == Token && req.Header.Get("Authorization") != "Bearer good":
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test"`, r.server.URL))
	default:
		return true
	}
	failed(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

func (r *Registry) token(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	if err := req.ParseForm(); err == nil {
		r.scopes = append(r.scopes, strings.Join(req.Form["scope"], " "))
	}
	r.mu.Unlock()
	if req.Method == http.MethodPost { // OAuth: with an identity token or a password
		if req.FormValue("refresh_token") != "identity" && req.FormValue("password") != Password {
			failed(w, http.StatusUnauthorized, "UNAUTHORIZED", "wrong")
			return
		}
	} else if _, password, _ := req.BasicAuth(); password != Password {
		failed(w, http.StatusUnauthorized, "UNAUTHORIZED", "wrong")
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"token": "good", "access_token": "good", "expires_in": 300}) //nolint:errcheck // the client notices
}

func failed(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

func (r *Registry) manifest(w http.ResponseWriter, req *http.Request, repo, name string, mode Mode) {
	key := repo + ":" + name
	if strings.HasPrefix(name, "sha256:") {
		key = repo + "@" + name
	}
	if req.Method == http.MethodPut {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		tag := name
		if strings.HasPrefix(name, "sha256:") {
			tag = ""
		}
		d := r.AddManifest(repo, tag, req.Header.Get("Content-Type"), b)
		w.Header().Set("Docker-Content-Digest", d.String())
		w.WriteHeader(http.StatusCreated)
		return
	}
	r.mu.Lock()
	m, ok := r.Manifests[key]
	r.mu.Unlock()
	if !ok {
		failed(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	w.Header().Set("Content-Type", m.MediaType)
	w.Header().Set("Docker-Content-Digest", digest.FromBytes(m.Body).String())
	if mode == Lie {
		w.Header().Set("Docker-Content-Digest", digest.FromString("another").String())
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(m.Body)))
	if req.Method != http.MethodHead {
		w.Write(m.Body) //nolint:errcheck // the client notices
	}
}

// tags lists the tags of a repository, two a page.
func (r *Registry) tags(w http.ResponseWriter, req *http.Request, repo string) {
	r.mu.Lock()
	var all []string
	for key := range r.Manifests {
		if tag, ok := strings.CutPrefix(key, repo+":"); ok {
			all = append(all, tag)
		}
	}
	r.mu.Unlock()
	if len(all) == 0 {
		failed(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		return
	}
	slices.Sort(all)
	from, _ := slices.BinarySearch(all, req.URL.Query().Get("last")+"\x00")
	all = all[from:]
	if len(all) > 2 {
		all = all[:2]
		w.Header().Set("Link", fmt.Sprintf(`<%s?n=2&last=%s>; rel="next"`, req.URL.Path, all[1]))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"name": repo, "tags": all})
}

func (r *Registry) blob(w http.ResponseWriter, req *http.Request, name string, mode Mode) {
	r.mu.Lock()
	b, ok := r.Blobs[digest.Digest(name)]
	r.mu.Unlock()
	if !ok {
		failed(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown")
		return
	}
	if mode == Error && len(b) > big {
		failed(w, http.StatusInternalServerError, "UNKNOWN", "disk on fire")
		return
	}
	var from int
	if n, err := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-", &from); n == 1 && err == nil && from < len(b) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b)-1, len(b)))
		r.mu.Lock()
		r.served["RANGE "+req.URL.Path]++
		r.mu.Unlock()
	} else {
		from = 0
	}
	if len(b) > big && mode == Away {
		http.Redirect(w, req, r.Elsewhere+req.URL.Path, http.StatusTemporaryRedirect)
		return
	}
	if len(b) > big && mode == Fading && from > 0 {
		failed(w, http.StatusInternalServerError, "UNKNOWN", "disk on fire")
		return
	}
	r.send(w, req, b, from, mode)
}

func (r *Registry) send(w http.ResponseWriter, req *http.Request, whole []byte, from int, mode Mode) {
	b := whole[from:]
	size := len(b)
	if len(whole) > big && mode == Long {
		size += 1000
	}
	if len(whole) > big && mode == Short {
		size /= 2
	}
	w.Header().Set("Content-Length", strconv.Itoa(size))
	if from > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	if req.Method == http.MethodHead {
		return
	}
	if len(whole) <= big {
		mode = OK
	}
	switch mode {
	case Wrong:
		b = append([]byte{}, b...)
		b[len(b)-1] ^= 1
	case Short:
		b = b[:size]
	case Truncated, Hang, Fading:
		w.Write(b[:max(0, len(whole)/2-from)]) //nolint:errcheck // the client notices
		w.(http.Flusher).Flush()
		if mode == Hang {
			r.hang(req)
		}
		panic(http.ErrAbortHandler) // ends the connection
	}
	w.Write(b) //nolint:errcheck // the client notices
}
