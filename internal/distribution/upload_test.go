package distribution

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/berth-containers/berth/internal/distribution/registrytest"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func from(b []byte) Source {
	return func(offset int64) io.Reader { return bytes.NewReader(b[offset:]) }
}

func TestPush(t *testing.T) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.Token)
	manifest := []byte(`{"schemaVersion":2}`)
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
	repo := repository(t, Options{}, r.Host()+"/app:1", good)
	for _, blob := range [][]byte{{}, []byte("a blob"), bytes.Repeat([]byte("large"), 100_000)} {
		for i, want := range []How{{}, {Existed: true}} {
			got, err := repo.PushBlob(ctx, layerOf(blob), nil, from(blob))
			if err != nil || got != want {
				t.Errorf("push %d of %d bytes: %+v, %v", i, len(blob), got, err)
			}
		}
		if !bytes.Equal(r.Blobs[layerOf(blob).Digest], blob) {
			t.Errorf("other bytes arrived of %d", len(blob))
		}
	}
	for i, want := range []bool{false, true} {
		if existed, err := repo.PushManifest(ctx, desc, true, manifest); err != nil || existed != want {
			t.Fatalf("push %d: %v, %v", i, existed, err)
		}
	}
	if got, err := repo.Resolve(ctx); err != nil || got.Digest != desc.Digest {
		t.Errorf("Resolve = %v, %v", got.Digest, err)
	}
	anonymous := repository(t, Options{}, r.Host()+"/app:1", Credentials{})
	if _, err := anonymous.PushBlob(ctx, layerOf([]byte("other")), nil, from([]byte("other"))); !errdefs.IsPermissionDenied(err) {
		t.Errorf("anonymous push: %v", err)
	}
	if _, err := anonymous.PushManifest(ctx, desc, false, manifest); !errdefs.IsPermissionDenied(err) {
		t.Errorf("anonymous push: %v", err)
	}
}

// A blob that the registry has in another repository is mounted: with a token
// for both. Where it has it not, the upload that it began instead is used.
func TestMount(t *testing.T) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.Token)
	r.Own = true
	there, missing := bytes.Repeat([]byte("there"), 10_000), bytes.Repeat([]byte("missing"), 10_000)
	r.Give("team/base", there)
	repo := repository(t, Options{}, r.Host()+"/team/app:1", good)
	if how, err := repo.PushBlob(ctx, layerOf(there), []string{"team/base"}, from(there)); err != nil || how.Mounted != "team/base" {
		t.Errorf("%+v, %v", how, err)
	}
	if n := r.Served("PATCH", "") + r.Served("PUT", ""); n != 0 {
		t.Errorf("%d requests sent what was there", n)
	}
	if !slices.ContainsFunc(r.Scopes(), func(s string) bool {
		return strings.Contains(s, "repository:team/app:pull,push") && strings.Contains(s, "repository:team/base:pull")
	}) {
		t.Errorf("tokens for %q", r.Scopes())
	}
	if how, err := repo.PushBlob(ctx, layerOf(missing), []string{"team/base"}, from(missing)); err != nil || how != (How{}) {
		t.Errorf("%+v, %v", how, err)
	}
	if n := r.Served("POST", "/uploads/"); n != 2 {
		t.Errorf("%d uploads were begun for one mount and one upload", n)
	}
}

// An upload that breaks off goes on where the registry has it, or begins anew.
func TestUploadResumes(t *testing.T) {
	ctx := context.Background()
	blob := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for name, tc := range map[string]struct {
		mode  registrytest.Mode
		whole bool // all of it was sent again
	}{"remembered": {registrytest.Cut, false}, "forgotten": {registrytest.CutForget, true}} {
		t.Run(name, func(t *testing.T) {
			r := registrytest.New(t, tc.mode)
			var sent int64
			source := func(offset int64) io.Reader {
				sent += int64(len(blob)) - offset
				return bytes.NewReader(blob[offset:])
			}
			how, err := repository(t, Options{}, r.Host()+"/app:1", Credentials{}).PushBlob(ctx, layerOf(blob), nil, source)
			if err != nil || how != (How{}) || !bytes.Equal(r.Blobs[layerOf(blob).Digest], blob) {
				t.Fatalf("%+v, %v", how, err)
			}
			if whole := sent >= 2*int64(len(blob)); whole != tc.whole {
				t.Errorf("%d bytes were sent of %d", sent, len(blob))
			}
		})
	}
}

// The credentials are for the registry, not for a store that it sends uploads to.
func TestUploadElsewhere(t *testing.T) {
	blob := bytes.Repeat([]byte("x"), 100_000)
	var leaked string
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		leaked += req.Header.Get("Authorization")
		_, _ = io.Copy(io.Discard, req.Body)
		if req.Method == http.MethodPatch {
			w.Header().Set("Location", req.URL.String())
			w.WriteHeader(http.StatusAccepted)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer store.Close()
	registry := registrytest.New(t, registrytest.Basic)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, _, ok := req.BasicAuth(); ok && req.Method == http.MethodPost {
			w.Header().Set("Location", store.URL+"/put/here?key=1")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		registry.ServeHTTP(w, req)
	}))
	defer server.Close()
	repo := repository(t, Options{}, strings.TrimPrefix(server.URL, "http://")+"/app", good)
	if _, err := repo.PushBlob(context.Background(), layerOf(blob), nil, from(blob)); err != nil {
		t.Fatal(err)
	}
	if leaked != "" {
		t.Errorf("the store was told %q", leaked)
	}
}
