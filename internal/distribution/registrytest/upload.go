package registrytest

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Give lets a repository have a blob, where Own is set.
func (r *Registry) Give(repo string, b []byte) digest.Digest {
	d := r.AddBlob(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owners[repo+"@"+d.String()] = true
	return d
}

func (r *Registry) owns(repo, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owners[repo+"@"+name]
}

// begin begins an upload, or mounts.
func (r *Registry) begin(w http.ResponseWriter, req *http.Request, repo string) {
	q := req.URL.Query()
	if d := q.Get("mount"); d != "" && r.owns(q.Get("from"), d) {
		r.mu.Lock()
		r.owners[repo+"@"+d] = true
		r.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
		return
	}
	r.mu.Lock()
	id := fmt.Sprint(len(r.served), "-", len(r.uploads))
	r.uploads["uploads/"+id] = nil
	r.mu.Unlock()
	w.Header().Set("Location", fmt.Sprintf("/v2/%s/blobs/uploads/%s", repo, id))
	w.WriteHeader(http.StatusAccepted)
}

func (r *Registry) upload(w http.ResponseWriter, req *http.Request, repo, name string, mode Mode) {
	r.mu.Lock()
	has, ok := r.uploads[name]
	r.mu.Unlock()
	if !ok {
		failed(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "upload unknown")
		return
	}
	if req.Method != http.MethodGet {
		has = r.take(w, req, name, has, mode)
	}
	w.Header().Set("Location", req.URL.Path)
	w.Header().Set("Range", fmt.Sprintf("0-%d", len(has)-1))
	if req.Method == http.MethodGet {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if req.Method == http.MethodPatch {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if want := req.URL.Query().Get("digest"); want != digest.FromBytes(has).String() {
		failed(w, http.StatusBadRequest, "DIGEST_INVALID", "digest invalid")
		return
	}
	r.mu.Lock()
	delete(r.uploads, name)
	r.mu.Unlock()
	r.Give(repo, has)
	w.WriteHeader(http.StatusCreated)
}

// take reads a part of an upload, and breaks off in the modes for that: once.
func (r *Registry) take(w http.ResponseWriter, req *http.Request, name string, has []byte, mode Mode) []byte {
	if from := req.Header.Get("Content-Range"); from != "" && !strings.HasPrefix(from, fmt.Sprintf("%d-", len(has))) {
		failed(w, http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID", "not where it is")
		panic(http.ErrAbortHandler)
	}
	r.mu.Lock()
	cut := req.ContentLength > big && (mode == Cut || mode == CutForget) && r.cut == 0
	if cut {
		r.cut++
	}
	r.mu.Unlock()
	body := io.Reader(req.Body)
	if cut {
		body = io.LimitReader(body, req.ContentLength/2)
	}
	b, err := io.ReadAll(body)
	has = append(has, b...)
	r.mu.Lock()
	r.uploads[name] = has
	if cut && mode == CutForget {
		delete(r.uploads, name)
	}
	r.mu.Unlock()
	if cut || err != nil {
		panic(http.ErrAbortHandler)
	}
	return has
}
