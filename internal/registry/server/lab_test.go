package server

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/bcrypt"

	"github.com/berth-containers/berth/internal/registry/rights"
)

// lab is a registry under test and one of its clients.
type lab struct {
	t      testing.TB
	server *Server
	url    string
	user   string // user:password, or empty
	access *bytes.Buffer
	rights string
}

func newLab(t testing.TB, rightsText string, change func(*Options)) *lab {
	t.Helper()
	dir := t.TempDir()
	l := &lab{t: t, access: &bytes.Buffer{}, rights: filepath.Join(dir, "rights")}
	if rightsText != "" {
		l.write(rightsText)
	}
	source, err := rights.Open(l.rights, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{
		Storage: Storage{Driver: "filesystem", Parameters: map[string]any{"rootdirectory": filepath.Join(dir, "data")}},
		Rights:  source, Secret: []byte(strings.Repeat("k", 32)), Metrics: NewMetrics(),
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), Access: slog.New(slog.NewJSONHandler(l.access, nil)),
	}
	if change != nil {
		change(&opt)
	}
	if opt.Store, err = OpenStorage(t.Context(), opt.Storage); err != nil {
		t.Fatal(err)
	}
	if l.server, err = New(t.Context(), opt); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(l.server)
	t.Cleanup(func() {
		web.Close()
		if err := l.server.Close(); err != nil {
			t.Error(err)
		}
	})
	l.url = web.URL
	return l
}

func (l *lab) write(text string) {
	l.t.Helper()
	if err := os.WriteFile(l.rights, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// as is the same registry for somebody else.
func (l *lab) as(user string) *lab {
	other := *l
	other.user = user
	return &other
}

type answer struct {
	*http.Response
	body string
}

func (l *lab) do(method, path string, header http.Header, body []byte) answer {
	l.t.Helper()
	u := path
	if !strings.HasPrefix(path, "http") {
		u = l.url + path
	}
	req, err := http.NewRequestWithContext(l.t.Context(), method, u, bytes.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if name, password, ok := strings.Cut(l.user, ":"); ok {
		req.SetBasicAuth(name, password)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		l.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return answer{resp, string(b)}
}

func (l *lab) want(status int, method, path string, body []byte) answer {
	l.t.Helper()
	a := l.do(method, path, nil, body)
	if a.StatusCode != status {
		l.t.Fatalf("%s %s: %d %s; want %d", method, path, a.StatusCode, a.body, status)
	}
	return a
}

// tryBlob uploads a blob and returns the last answer.
func (l *lab) tryBlob(repository string, name digest.Digest, content []byte) answer {
	l.t.Helper()
	a := l.do("POST", "/v2/"+repository+"/blobs/uploads/", nil, nil)
	if a.StatusCode != http.StatusAccepted {
		return a
	}
	return l.do("PUT", l.absolute(a.Header.Get("Location"))+"&digest="+name.String(), nil, content)
}

func (l *lab) absolute(location string) string {
	if strings.HasPrefix(location, "/") {
		return l.url + location
	}
	return location
}

func (l *lab) blob(repository string, content []byte) digest.Digest {
	l.t.Helper()
	d := digest.FromBytes(content)
	if a := l.tryBlob(repository, d, content); a.StatusCode != http.StatusCreated {
		l.t.Fatalf("push blob: %d %s", a.StatusCode, a.body)
	}
	return d
}

func (l *lab) manifest(repository, reference string, m ocispec.Manifest) answer {
	l.t.Helper()
	m.SchemaVersion, m.MediaType = 2, ocispec.MediaTypeImageManifest
	b, err := json.Marshal(m)
	if err != nil {
		l.t.Fatal(err)
	}
	if reference == "" {
		reference = digest.FromBytes(b).String()
	}
	return l.do("PUT", "/v2/"+repository+"/manifests/"+reference, http.Header{"Content-Type": {m.MediaType}}, b)
}

// image pushes an image of one random layer and returns the layer's digest.
func (l *lab) image(repository, tag string) (layer digest.Digest, m ocispec.Manifest) {
	l.t.Helper()
	content := make([]byte, 1000)
	_, _ = rand.Read(content)
	config := []byte(fmt.Sprintf(`{"os":"linux","x":%q}`, tag))
	m.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: l.blob(repository, config), Size: int64(len(config))}
	layer = l.blob(repository, content)
	m.Layers = []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: layer, Size: int64(len(content))}}
	if a := l.manifest(repository, tag, m); a.StatusCode != http.StatusCreated {
		l.t.Fatalf("push manifest: %d %s", a.StatusCode, a.body)
	}
	return layer, m
}

func hash(t testing.TB, password string) string {
	t.Helper()
	b, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
