package distribution

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/berth-containers/berth/internal/distribution/registrytest"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What registries do wrong ends in an error that says what, in bounded time.
func TestBadRegistries(t *testing.T) {
	resolve := func(ctx context.Context, r *Repository, _ []byte) error {
		_, err := r.Resolve(ctx)
		return err
	}
	tags := func(ctx context.Context, r *Repository, _ []byte) error {
		_, err := r.Tags(ctx)
		return err
	}
	fetch := func(ctx context.Context, r *Repository, blob []byte) error {
		body, err := r.Fetch(ctx, layerOf(blob), 0)
		if err != nil {
			return err
		}
		defer body.Close()
		_, err = io.Copy(io.Discard, body)
		return err
	}
	push := func(ctx context.Context, r *Repository, _ []byte) error {
		_, err := r.PushBlob(ctx, layerOf([]byte("new")), nil, from([]byte("new")))
		return err
	}
	for name, tc := range map[string]struct {
		mode registrytest.Mode
		do   func(context.Context, *Repository, []byte) error
		kind func(error) bool
		want string
	}{
		"web page for a manifest":  {registrytest.Page, resolve, errdefs.IsUnavailable, "web page"},
		"web page for a blob":      {registrytest.Page, fetch, errdefs.IsDataLoss, "web page"},
		"web page for tags":        {registrytest.Page, tags, errdefs.IsUnavailable, "no list"},
		"web page for an upload":   {registrytest.Page, push, nil, ""}, // it says that the blob is there
		"takes no token":           {registrytest.Loop, resolve, errdefs.IsNotFound, "pull access denied"},
		"takes no token to push":   {registrytest.Loop, push, errdefs.IsPermissionDenied, "denied"},
		"busy":                     {registrytest.Busy, resolve, errdefs.IsUnavailable, "wait for 1h0m0s"},
		"busy for a push":          {registrytest.Busy, push, errdefs.IsUnavailable, "toomanyrequests"},
		"digest of another":        {registrytest.Lie, resolve, nil, ""}, // FetchAll finds it
		"tags without an end":      {registrytest.Endless, tags, errdefs.IsUnavailable, "no end"},
		"token server's web page":  {registrytest.TokenPage, resolve, errdefs.IsUnavailable, "without a token"},
		"silent token server":      {registrytest.TokenHang, resolve, errdefs.IsUnavailable, "127.0.0.1"},
		"token server without end": {registrytest.TokenFlood, resolve, errdefs.IsUnavailable, "without a token"},
		"more announced":           {registrytest.Long, fetch, errdefs.IsDataLoss, "51000 bytes"},
		"less announced":           {registrytest.Short, fetch, errdefs.IsDataLoss, "25000 bytes"},
		"breaks off":               {registrytest.Fading, fetch, errdefs.IsUnavailable, "500 Internal Server Error: disk on fire"},
		"error":                    {registrytest.Error, fetch, errdefs.IsUnavailable, "500 Internal Server Error: disk on fire"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of them wait
			r := registrytest.New(t, tc.mode)
			r.AddManifest("app", "1", ocispec.MediaTypeImageManifest, []byte(`{}`))
			blob := bytes.Repeat([]byte("0123456789"), 5000)
			r.AddBlob(blob)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			err := tc.do(ctx, repository(t, Options{Idle: 2 * time.Second}, r.Host()+"/app:1", good), blob)
			if (err == nil) != (tc.kind == nil) || err != nil && (!tc.kind(err) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func TestWrongManifests(t *testing.T) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.Lie)
	d := r.AddManifest("app", "1", ocispec.MediaTypeImageManifest, []byte(`{}`))
	if _, err := repository(t, Options{}, r.Host()+"/app@"+d.String(), Credentials{}).Resolve(ctx); !errdefs.IsDataLoss(err) {
		t.Errorf("another digest: %v", err)
	}
	r.Set(registrytest.OK)
	r.AddManifest("app", "large", ocispec.MediaTypeImageManifest, make([]byte, MaxManifestBytes+1))
	if _, err := repository(t, Options{}, r.Host()+"/app:large", Credentials{}).Resolve(ctx); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "larger than allowed") {
		t.Errorf("large: %v", err)
	}
	// A server of files tells neither type nor digest.
	body := []byte(`{"schemaVersion":2,"config":{}}`)
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(body)
	}))
	defer files.Close()
	desc, err := repository(t, Options{}, strings.TrimPrefix(files.URL, "http://")+"/app:1", Credentials{}).Resolve(ctx)
	if want := (ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(body), Size: int64(len(body))}); err != nil || desc.Digest != want.Digest || desc.MediaType != want.MediaType || desc.Size != want.Size {
		t.Errorf("%+v, %v", desc, err)
	}
}

// Blobs may be elsewhere, but the credentials stay.
func TestRedirect(t *testing.T) {
	blob := bytes.Repeat([]byte("0123456789"), 5000)
	for name, mode := range map[string]registrytest.Mode{"the store takes all": registrytest.OK, "the store asks for a password": registrytest.Basic} {
		var leaked string
		store := registrytest.New(t, mode)
		store.AddBlob(blob)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			leaked += req.Header.Get("Authorization")
			store.ServeHTTP(w, req)
		}))
		defer server.Close()
		r := registrytest.New(t, registrytest.Basic)
		r.AddBlob(blob)
		away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if _, _, ok := req.BasicAuth(); ok {
				http.Redirect(w, req, server.URL+req.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			r.ServeHTTP(w, req)
		}))
		defer away.Close()
		_, err := repository(t, Options{}, strings.TrimPrefix(away.URL, "http://")+"/app", good).FetchAll(context.Background(), layerOf(blob), 1<<20)
		if (err == nil) != (mode == registrytest.OK) {
			t.Errorf("%s: %v", name, err)
		}
		if leaked != "" {
			t.Errorf("%s: the store was told %q", name, leaked)
		}
	}
}

// A token server that may not see credentials in plain text gets none.
func TestTokenInPlainText(t *testing.T) {
	var asked int
	next := transport(func(*http.Request) (*http.Response, error) {
		asked++
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}}, nil
	})
	for _, tc := range []struct {
		target string
		secret bool
		plain  bool
		sent   bool
	}{
		{"https://auth.example/token", true, false, true},
		{"http://auth.example/token", true, false, false},
		{"http://auth.example/token", false, false, true},
		{"http://auth.example/token", true, true, true},
	} {
		asked = 0
		req := httptest.NewRequest(http.MethodGet, tc.target, nil)
		if tc.secret {
			req.SetBasicAuth("user", "secret")
		}
		resp, err := tokenTransport{next, tc.plain}.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		if sent := asked > 0; sent != tc.sent || (err == nil) != tc.sent {
			t.Errorf("%+v: sent %v, %v", tc, sent, err)
		}
	}
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) { return t(req) }

// A layer that is kept outside of the registry comes from there, if that is allowed.
func TestForeignLayer(t *testing.T) {
	ctx := context.Background()
	blob := []byte("foreign")
	var leaked string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		leaked += req.Header.Get("Authorization")
		_, _ = w.Write(blob)
	}))
	defer elsewhere.Close()
	r := registrytest.New(t, registrytest.Basic)
	desc := layerOf(blob)
	desc.URLs = []string{"ftp://nowhere/x", elsewhere.URL + "/layer?v=1"}
	for name, tc := range map[string]struct {
		foreign []string
		urls    []string
		kind    func(error) bool
		want    string
	}{
		"not allowed":     {nil, desc.URLs, errdefs.IsPermissionDenied, `"foreign" of "registries"`},
		"others allowed":  {[]string{"example.com"}, desc.URLs, errdefs.IsPermissionDenied, "127.0.0.1"},
		"allowed":         {[]string{"127.0.0.1"}, desc.URLs, nil, ""},
		"all are allowed": {[]string{"*"}, desc.URLs, nil, ""},
		"not an address":  {[]string{"*"}, []string{"file:///etc/passwd"}, errdefs.IsInvalidArgument, "no web address"},
		"nobody is there": {[]string{"*"}, []string{"http://127.0.0.1:1/x"}, errdefs.IsUnavailable, "127.0.0.1:1"},
		"no address":      {[]string{"*"}, nil, errdefs.IsNotFound, "has no blob"},
	} {
		desc.URLs = tc.urls
		repo := repository(t, Options{Registries: registries.Table{Foreign: tc.foreign}}, r.Host()+"/app", good)
		b, err := repo.FetchAll(ctx, desc, 100)
		if (err == nil) != (tc.kind == nil) || err != nil && (!tc.kind(err) || !strings.Contains(err.Error(), tc.want)) || err == nil && !bytes.Equal(b, blob) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if leaked != "" {
		t.Errorf("%q was told", leaked)
	}
}

// A connection that breaks is made again, for as long as something comes.
func TestFetchGoesOn(t *testing.T) {
	blob := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	for _, protocol := range []int{1, 2} {
		var connections atomic.Int32
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.ProtoMajor != protocol {
				t.Errorf("HTTP/%d is spoken, not %d", req.ProtoMajor, protocol)
			}
			connections.Add(1)
			http.ServeContent(&short{ResponseWriter: w, left: 80 << 10}, req, "", time.Time{}, bytes.NewReader(blob))
		}))
		server.EnableHTTP2 = true
		if protocol == 1 {
			server.Start()
		} else {
			server.StartTLS()
		}
		repo := repository(t, Options{}, server.Listener.Addr().String()+"/app", Credentials{})
		if _, err := repo.FetchAll(context.Background(), layerOf(blob), 1<<20); err != nil || connections.Load() != 4 {
			t.Errorf("%v after %d connections", err, connections.Load())
		}
		server.Close()
	}
}

// short breaks the connection off after some bytes.
type short struct {
	http.ResponseWriter
	left int
}

func (s *short) Write(b []byte) (int, error) {
	if len(b) > s.left {
		n, err := s.ResponseWriter.Write(b[:s.left])
		s.ResponseWriter.(http.Flusher).Flush()
		s.left = 0
		if err == nil {
			panic(http.ErrAbortHandler)
		}
		return n, err
	}
	s.left -= len(b)
	return s.ResponseWriter.Write(b)
}

// One that is silent is asked once only: what comes after it does not wait.
func TestSilentMirror(t *testing.T) {
	ctx := context.Background()
	mirror, own := registrytest.New(t, registrytest.HangHeader), registrytest.New(t, registrytest.OK)
	table := registries.Table{Hosts: map[string]registries.Entry{own.Host(): {Mirrors: []string{"http://" + mirror.Host()}}}}
	repo := repository(t, Options{Registries: table, Idle: time.Second}, own.Host()+"/app", Credentials{})
	for _, text := range []string{"a", "b"} {
		own.AddBlob([]byte(text))
		if _, err := repo.FetchAll(ctx, layerOf([]byte(text)), 100); err != nil {
			t.Error(err)
		}
	}
	if n := mirror.Served("GET", ""); n != 1 {
		t.Errorf("asked %d times", n)
	}
	_, err := repo.FetchAll(ctx, layerOf([]byte("c")), 100)
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "before that, mirror "+mirror.Host()) {
		t.Errorf("%v", err)
	}
}

func TestReferrers(t *testing.T) {
	ctx := context.Background()
	about := digest.FromString("image")
	index := []byte(`{"schemaVersion":2,"manifests":[{"artifactType":"a/b","size":1},{"artifactType":"c/d","size":2}]}`)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/v2/app/referrers/"+about.String() {
			http.NotFound(w, req)
			return
		}
		if req.URL.Query().Get("page") == "" {
			w.Header().Set("Link", `<?page=2>; rel="next"`)
		}
		_, _ = w.Write(index)
	}))
	defer api.Close()
	tagged, none := registrytest.New(t, registrytest.OK), registrytest.New(t, registrytest.OK)
	tagged.AddManifest("app", strings.Replace(about.String(), ":", "-", 1), ocispec.MediaTypeImageIndex, index)
	page := registrytest.New(t, registrytest.Page)
	for name, tc := range map[string]struct {
		host, kind string
		want       int
		fails      bool
	}{
		"two pages":    {strings.TrimPrefix(api.URL, "http://"), "", 4, false},
		"of one type":  {strings.TrimPrefix(api.URL, "http://"), "c/d", 2, false},
		"tag":          {tagged.Host(), "", 2, false},
		"tag, of type": {tagged.Host(), "a/b", 1, false},
		"none":         {none.Host(), "", 0, false},
		"a web page":   {page.Host(), "", 0, true},
	} {
		got, err := repository(t, Options{}, tc.host+"/app", Credentials{}).Referrers(ctx, about, tc.kind)
		if len(got) != tc.want || (err != nil) != tc.fails {
			t.Errorf("%s: %d, %v", name, len(got), err)
		}
	}
}

func FuzzNextPage(f *testing.F) {
	for _, link := range []string{`</v2/a/tags/list?n=2&last=b>; rel="next"`, `<https://evil/x>; rel=next`, `<x,y>; rel="prev", <?a=1>; rel="last next"`, `<mailto:x>;rel=next`, `<`, `<//>;rel=next`} {
		f.Add(link)
	}
	asked := &url.URL{Scheme: "https", Host: "registry", Path: "/v2/a/tags/list"}
	f.Fuzz(func(t *testing.T, link string) {
		path, more := nextPage(asked, link)
		if !more {
			return
		}
		u, err := url.Parse("https://registry" + path)
		if err != nil || u.Host != "registry" {
			t.Errorf("%q leads to %q: %v", link, path, err)
		}
	})
}

// What a registry answers to the question who is asking is foreign text; it
// neither takes the client down nor gets an answer without credentials to it.
func FuzzChallenge(f *testing.F) {
	for _, challenge := range []string{`Basic realm="x"`, `Bearer realm="https://t/token",service="s",scope="repository:a:pull"`, `Bearer realm="`, `Bearer realm="\`, `Bearer error="x"`, "Negotiate", ""} {
		f.Add(challenge)
	}
	client := &http.Client{Transport: transport(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusTeapot, Status: "418", Body: http.NoBody, Header: http.Header{}, Request: req}, nil
	})}
	f.Fuzz(func(t *testing.T, challenge string) {
		ctx := context.Background()
		auth := authorizer(client, nil, false, func(string) (string, string, error) { return "user", "secret", nil })
		req := httptest.NewRequest(http.MethodGet, "https://registry/v2/", nil)
		resp := &http.Response{Request: req, Header: http.Header{"Www-Authenticate": {challenge}}}
		if auth.AddResponses(ctx, []*http.Response{resp}) != nil {
			return
		}
		err := auth.Authorize(ctx, req)
		if got := req.Header.Get("Authorization"); err != nil && got != "" {
			t.Errorf("%q: %v, and yet %q", challenge, err, got)
		}
	})
}
