package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-containers/berth/internal/registry/rights"
	"github.com/berth-containers/berth/internal/registry/store"
)

func TestRoutes(t *testing.T) {
	for _, row := range []struct {
		path string
		want route
		code string
	}{
		{path: "/v2/a/tags/list", want: route{kind: kindTags, repository: "a"}},
		{path: "/v2/a/b/manifests/latest", want: route{kind: kindManifest, repository: "a/b", reference: "latest"}},
		{path: "/v2/blobs/uploads/blobs/uploads/", want: route{kind: kindUploads, repository: "blobs/uploads"}},
		{path: "/v2/a/manifests/b/manifests/c", want: route{kind: kindManifest, repository: "a/manifests/b", reference: "c"}},
		{path: "/v2/a/blobs/uploads/x-1", want: route{kind: kindUpload, repository: "a", reference: "x-1"}},
		{path: "/v2/../etc/manifests/x", code: "NAME_INVALID"},
		{path: "/v2/a/../b/manifests/x", code: "NAME_INVALID"},
		{path: "/v2/a//b/manifests/x", code: "NAME_INVALID"},
		{path: "/v2/A/manifests/x", code: "NAME_INVALID"},
		{path: "/v2/a/_layers/manifests/x", code: "NAME_INVALID"},
		{path: "/v2/" + strings.Repeat("a/", 200) + "b/manifests/x", code: "NAME_INVALID"},
		{path: "/v2/a/manifests/..", code: "TAG_INVALID"},
		{path: "/v2/a/manifests/a b", code: "TAG_INVALID"},
		{path: "/v2/a/manifests/sha256:12", code: "DIGEST_INVALID"},
		{path: "/v2/a/blobs/sha256:../../x", code: "UNSUPPORTED"},
		{path: "/v2/a/blobs/sha256:..", code: "DIGEST_INVALID"},
		{path: "/v2/a/blobs/uploads/..", code: "BLOB_UPLOAD_UNKNOWN"},
		{path: "/v2/manifests/x", code: "UNSUPPORTED"},
		{path: "/v2/a/b", code: "UNSUPPORTED"},
	} {
		got, e := parseRoute(row.path)
		if e != nil && e.code != row.code || e == nil && (row.code != "" || got != row.want) {
			t.Errorf("%s: %+v %v", row.path, got, e)
		}
	}
}

func FuzzRoute(f *testing.F) {
	f.Add("/v2/a/b/manifests/latest")
	f.Add("/v2/a/blobs/sha256:" + strings.Repeat("a", 64))
	f.Add("/v2/a/blobs/uploads/../../x")
	f.Fuzz(func(t *testing.T, path string) {
		rt, e := parseRoute(path)
		if e != nil || rt.kind == kindReferrers {
			return
		}
		again, e := parseRoute(rt.path())
		if e != nil || again != rt {
			t.Errorf("%q gave %+v, which is asked for as %q and read as %+v", path, rt, rt.path(), again)
		}
		if strings.Contains(rt.path(), "..") && strings.Contains(rt.path(), "/../") {
			t.Errorf("%q climbs", rt.path())
		}
	})
}

func TestReferrers(t *testing.T) {
	l := newLab(t, "", nil)
	_, m := l.image("app", "v1")
	b, err := json.Marshal(func() ocispec.Manifest { m.SchemaVersion, m.MediaType = 2, ocispec.MediaTypeImageManifest; return m }())
	if err != nil {
		t.Fatal(err)
	}
	subject := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(b), Size: int64(len(b))}
	sbom := m
	sbom.Subject, sbom.ArtifactType, sbom.Annotations = &subject, "application/sbom", map[string]string{"a": "b"}
	a := l.manifest("app", "", sbom)
	if a.StatusCode != http.StatusCreated || a.Header.Get("OCI-Subject") != subject.Digest.String() {
		t.Fatalf("%d %s %v", a.StatusCode, a.body, a.Header)
	}
	list := func(query string) ocispec.Index {
		var index ocispec.Index
		if err := json.Unmarshal([]byte(l.want(200, "GET", "/v2/app/referrers/"+subject.Digest.String()+query, nil).body), &index); err != nil {
			t.Fatal(err)
		}
		return index
	}
	if got := list("").Manifests; len(got) != 1 || got[0].ArtifactType != "application/sbom" || got[0].Annotations["a"] != "b" {
		t.Errorf("%+v", got)
	}
	if got := list("?artifactType=other").Manifests; len(got) != 0 {
		t.Errorf("%+v", got)
	}
	l.want(http.StatusAccepted, "DELETE", "/v2/app/manifests/"+a.Header.Get("Docker-Content-Digest"), nil)
	if got := list("").Manifests; len(got) != 0 {
		t.Errorf("a deleted referrer is listed: %+v", got)
	}
}

func TestOtherDigests(t *testing.T) {
	l := newLab(t, "", nil)
	content := []byte("hello")
	name := digest.SHA512.FromBytes(content)
	if a := l.tryBlob("app", name, content); a.StatusCode != 201 || a.Header.Get("Docker-Content-Digest") != name.String() {
		t.Fatalf("%d %s %v", a.StatusCode, a.body, a.Header)
	}
	if a := l.want(201, "POST", "/v2/other/blobs/uploads/?mount="+name.String()+"&from=app", nil); a.Header.Get("Docker-Content-Digest") != name.String() {
		t.Errorf("%v", a.Header)
	}
	if a := l.want(200, "GET", "/v2/other/blobs/"+name.String(), nil); a.body != "hello" {
		t.Errorf("%q", a.body)
	}
	m := ocispec.Manifest{Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: name, Size: 5}}
	m.SchemaVersion, m.MediaType = 2, ocispec.MediaTypeImageManifest
	b, _ := json.Marshal(m)
	m512 := digest.SHA512.FromBytes(b)
	l.want(400, "PUT", "/v2/app/manifests/"+digest.SHA512.FromString("x").String(), b)
	if a := l.do("PUT", "/v2/app/manifests/"+m512.String(), http.Header{"Content-Type": {m.MediaType}}, b); a.StatusCode != 201 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if a := l.want(200, "GET", "/v2/app/manifests/"+m512.String(), nil); a.body != string(b) || a.Header.Get("Docker-Content-Digest") != m512.String() {
		t.Errorf("%s %v", a.body, a.Header)
	}
	// A collection keeps what is known under another digest.
	if _, err := l.server.Collect(t.Context(), store.CollectOptions{}); err != nil {
		t.Fatal(err)
	}
	l.want(200, "GET", "/v2/app/blobs/"+name.String(), nil)
	l.want(202, "DELETE", "/v2/app/manifests/"+digest.FromBytes(b).String(), nil)
	l.want(404, "GET", "/v2/app/manifests/"+m512.String(), nil)
}

func TestRights(t *testing.T) {
	key := rights.NewSecret()
	l := newLab(t, "user alice "+hash(t, "a")+"\nuser bob "+hash(t, "b")+"\nkey ci "+keyHash(key)+
		"\nallow alice all team/** public/**\nallow bob push bob/*\nallow ci pull team/app\nallow everyone pull public/*\n", nil)
	alice, bob, ci := l.as("alice:a"), l.as("bob:b"), l.as("ci:"+key)
	layer, m := alice.image("team/app", "v1")
	alice.image("public/x", "v1")

	// What is refused says the same of what is there and what is not.
	for _, path := range []string{"/manifests/v1", "/tags/list", "/blobs/" + layer.String(), "/referrers/" + layer.String()} {
		for _, who := range []*lab{bob, l} {
			there, not := who.do("GET", "/v2/team/app"+path, nil, nil), who.do("GET", "/v2/team/nil"+path, nil, nil)
			if there.StatusCode != not.StatusCode || strings.ReplaceAll(there.body, "team/app", "team/nil") != not.body {
				t.Errorf("%s %s: %d %s / %d %s", who.user, path, there.StatusCode, there.body, not.StatusCode, not.body)
			}
		}
	}
	if a := bob.want(200, "GET", "/v2/_catalog", nil); strings.Contains(a.body, "team") || !strings.Contains(a.body, "public/x") {
		t.Errorf("bob sees %s", a.body)
	}
	// No way to mount what may not be pulled, in the query or in a form.
	bob.want(202, "POST", "/v2/bob/x/blobs/uploads/?mount="+layer.String()+"&from=team/app", nil)
	form := bob.do("POST", "/v2/bob/x/blobs/uploads/", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte("mount="+layer.String()+"&from=team/app"))
	if form.StatusCode != 202 {
		t.Errorf("mount by a form: %d", form.StatusCode)
	}
	bob.want(404, "HEAD", "/v2/bob/x/blobs/"+layer.String(), nil)
	alice.want(201, "POST", "/v2/team/y/blobs/uploads/?mount="+layer.String()+"&from=team/app", nil)

	ci.want(200, "GET", "/v2/team/app/manifests/v1", nil)
	ci.want(403, "POST", "/v2/team/app/blobs/uploads/", nil)
	ci.want(403, "DELETE", "/v2/team/app/manifests/v1", nil)
	if a := ci.manifest("team/app", "v2", m); a.StatusCode != 403 {
		t.Errorf("a key tags: %d", a.StatusCode)
	}
	l.as("alice:x").want(401, "GET", "/v2/", nil)
	l.as("nobody:x").want(401, "GET", "/v2/", nil)
	l.want(401, "GET", "/v2/", nil)

	t.Run("tokens", func(t *testing.T) {
		get := func(who *lab) http.Header {
			var got struct{ Token string }
			if err := json.Unmarshal([]byte(who.want(200, "GET", "/token?scope=repository:team/app:pull", nil).body), &got); err != nil {
				t.Fatal(err)
			}
			return http.Header{"Authorization": {"Bearer " + got.Token}}
		}
		none, bearer := get(l), get(bob)
		if a := l.do("GET", "/v2/public/x/manifests/v1", none, nil); a.StatusCode != 200 {
			t.Errorf("without a name: %d", a.StatusCode)
		}
		if a := l.do("GET", "/v2/team/app/manifests/v1", none, nil); a.StatusCode != 401 {
			t.Errorf("without a name: %d", a.StatusCode)
		}
		if a := l.do("POST", "/v2/bob/x/blobs/uploads/", bearer, nil); a.StatusCode != 202 {
			t.Errorf("by a token: %d", a.StatusCode)
		}
		// Rights and users that go, go at once, also for tokens.
		l.write("user alice " + hash(t, "a") + "\nallow alice all **\n")
		if a := l.do("GET", "/v2/public/x/manifests/v1", bearer, nil); a.StatusCode != 401 {
			t.Errorf("the token of a removed user: %d", a.StatusCode)
		}
	})
}

func keyHash(secret string) string { return digest.FromString(secret).String() }

func TestQuota(t *testing.T) {
	l := newLab(t, "user alice "+hash(t, "a")+"\nallow alice all **\nquota small/** 3000B\n", nil).as("alice:a")
	l.image("small/a", "v1")
	l.image("small/b", "v1")
	content := make([]byte, 2000)
	a := l.tryBlob("small/c", digest.FromBytes(content), content)
	if a.StatusCode != 403 || !strings.Contains(a.body, "quota of small/** is 3kB") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := l.tryBlob("big/c", digest.FromBytes(content), content); a.StatusCode != 201 {
		t.Errorf("another repository: %d %s", a.StatusCode, a.body)
	}
	l.want(403, "POST", "/v2/small/c/blobs/uploads/?mount="+digest.FromBytes(content).String()+"&from=big/c", nil)
	// What is deleted and collected makes room.
	b := l.want(200, "GET", "/v2/small/a/manifests/v1", nil)
	l.want(202, "DELETE", "/v2/small/a/manifests/"+b.Header.Get("Docker-Content-Digest"), nil)
	if _, err := l.server.Collect(t.Context(), store.CollectOptions{Grace: -time.Hour}); err != nil {
		t.Fatal(err)
	}
	l.image("small/c", "v1")
}

func TestCollect(t *testing.T) {
	l := newLab(t, "", nil)
	layer, _ := l.image("app", "v1")
	old, m := l.image("app", "v2")
	l.blob("app", []byte("nobody needs this"))
	if report, err := l.server.Collect(t.Context(), store.CollectOptions{Grace: time.Hour}); err != nil || report.Blobs != 0 {
		t.Fatalf("took what is young: %+v %v", report, err)
	}
	all := store.CollectOptions{Grace: -time.Hour}
	if report, err := l.server.Collect(t.Context(), store.CollectOptions{Grace: -time.Hour, DryRun: true}); err != nil || report.Blobs != 1 {
		t.Fatalf("%+v %v", report, err)
	}
	if report, err := l.server.Collect(t.Context(), all); err != nil || report.Blobs != 1 || report.Bytes != 17 {
		t.Fatalf("%+v %v", report, err)
	}
	l.want(202, "DELETE", "/v2/app/manifests/v2", nil)
	if report, err := l.server.Collect(t.Context(), all); err != nil || report.Blobs != 0 {
		t.Fatalf("took what has no tag: %+v %v", report, err)
	}
	all.Untagged = true
	if report, err := l.server.Collect(t.Context(), all); err != nil || report.Manifests != 1 {
		t.Fatalf("%+v %v", report, err)
	}
	if _, err := l.server.Collect(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	l.want(404, "HEAD", "/v2/app/blobs/"+old.String(), nil)
	l.want(200, "HEAD", "/v2/app/blobs/"+layer.String(), nil)
	if a := l.manifest("app", "v3", m); a.StatusCode == 201 {
		t.Error("a manifest was taken whose layer is gone")
	}
	report, err := l.server.opt.Store.Verify(t.Context(), true, func(p string) { t.Error(p) })
	if err != nil || report.Manifests != 1 || report.Blobs != 3 {
		t.Errorf("%+v %v", report, err)
	}
}

func TestBadInput(t *testing.T) {
	l := newLab(t, "", nil)
	l.image("app", "v1")
	typed := http.Header{"Content-Type": {ocispec.MediaTypeImageManifest}}
	huge := bytes.Repeat([]byte(" "), maxManifest+1)
	for _, row := range []struct {
		method, path string
		body         []byte
		status       int
	}{
		{"PUT", "/v2/app/manifests/x", []byte("{"), 400},
		{"PUT", "/v2/app/manifests/x", []byte(`{"schemaVersion":2,"layers":[{"digest":"../../x"}]}`), 400},
		{"PUT", "/v2/app/manifests/x", []byte(`{"schemaVersion":1}`), 400},
		{"PUT", "/v2/app/manifests/x", huge, 413},
		{"PUT", "/v2/app/manifests/" + digest.FromString("y").String(), []byte(`{"schemaVersion":2}`), 400},
		{"GET", "/v2/app/manifests/sha256:xyz", nil, 400},
		{"PUT", "/v2/app/blobs/uploads/00000000-0000-0000-0000-000000000000?digest=" + digest.FromString("y").String(), nil, 404},
		{"PUT", "/v2/app/blobs/uploads/x?digest=nonsense", nil, 400},
		{"GET", "/v2/_catalog?n=-1", nil, 400},
		{"POST", "/v2/app/tags/list", nil, 405},
		{"BREW", "/v2/app/manifests/v1", nil, 405},
		{"GET", "/v2/a%2f..%2f..%2fb/manifests/x", nil, 400},
	} {
		if a := l.do(row.method, row.path, typed, row.body); a.StatusCode != row.status {
			t.Errorf("%s %s: %d %s; want %d", row.method, row.path, a.StatusCode, a.body, row.status)
		}
	}
	content := []byte("content")
	if a := l.tryBlob("app", digest.FromString("other"), content); a.StatusCode != 400 || !strings.Contains(a.body, "DIGEST_INVALID") {
		t.Errorf("a wrong digest: %d %s", a.StatusCode, a.body)
	}
	l.want(404, "HEAD", "/v2/app/blobs/"+digest.FromString("other").String(), nil)
}

func TestPagesMetricsAndLog(t *testing.T) {
	l := newLab(t, "user alice "+hash(t, "a")+"\nallow alice all **\nallow everyone pull public/*\n", nil)
	l.as("alice:a").image("team/app", "v1")
	l.as("alice:a").image("public/x", "v1")
	if a := l.want(200, "GET", "/", nil); strings.Contains(a.body, "team/app") || !strings.Contains(a.body, "public/x") {
		t.Errorf("%s", a.body)
	}
	if a := l.as("alice:a").want(200, "GET", "/team/app", nil); !strings.Contains(a.body, "docker pull") || !strings.Contains(a.body, ">v1<") {
		t.Errorf("%s", a.body)
	}
	if a := l.want(401, "GET", "/team/app", nil); !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic") {
		t.Errorf("%v", a.Header)
	}
	l.want(200, "GET", "/healthz", nil)
	out := httptest.NewRecorder()
	l.server.metrics.Handler().ServeHTTP(out, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`berth_registry_requests_total{about="manifest",method="PUT",status="201"} 2`, "berth_registry_received_bytes_total"} {
		if !strings.Contains(out.Body.String(), want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	var line struct {
		User, Method, Repository string
		Status                   int
	}
	if err := json.Unmarshal([]byte(strings.SplitN(l.access.String(), "\n", 2)[0]), &line); err != nil || line.User != "alice" || line.Method != "POST" || line.Status != 202 {
		t.Errorf("%+v %v", line, err)
	}
}

func TestPullThroughCache(t *testing.T) {
	origin := newLab(t, "", nil)
	layer, m := origin.image("app", "v1")
	cache := newLab(t, "", func(o *Options) { o.Upstream = &Upstream{URL: origin.url, Keep: time.Hour} })
	first := cache.want(200, "GET", "/v2/app/manifests/v1", nil)
	cache.want(200, "GET", "/v2/app/blobs/"+layer.String(), nil)
	cache.want(405, "POST", "/v2/app/blobs/uploads/", nil)
	if a := cache.manifest("app", "v2", m); a.StatusCode != 405 {
		t.Errorf("push to a cache: %d", a.StatusCode)
	}
	// What it has needs the origin no more.
	origin.want(202, "DELETE", "/v2/app/blobs/"+layer.String(), nil)
	deadline := time.Now().Add(10 * time.Second)
	for {
		// The library stores a blob in the background while it sends it.
		if a := cache.do("GET", "/v2/app/blobs/"+layer.String(), nil, nil); a.StatusCode == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the cache did not keep the layer")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if first.body == "" {
		t.Error("an empty manifest")
	}
}

// Pushes of the same content and collections that would take all of it run
// against each other; every push that was taken must be whole in the end.
func TestCollectDuringPushes(t *testing.T) {
	l := newLab(t, "", nil)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if _, err := l.server.Collect(ctx, store.CollectOptions{UploadAge: time.Minute, Untagged: true}); err != nil && ctx.Err() == nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	errs := make(chan string, 8)
	for worker := range 8 {
		go func() {
			defer func() { errs <- "" }()
			for i := range 5 {
				content := []byte(fmt.Sprintf("shared %d", i))
				repository := fmt.Sprintf("app%d", worker%2)
				d := digest.FromBytes(content)
				if a := l.do("HEAD", "/v2/"+repository+"/blobs/"+d.String(), nil, nil); a.StatusCode != 200 {
					l.tryBlob(repository, d, content)
				}
				m := ocispec.Manifest{Config: ocispec.Descriptor{MediaType: "application/x", Digest: d, Size: int64(len(content))}}
				// Without a grace, what was there a moment ago may be gone; then it says so.
				a := l.manifest(repository, fmt.Sprintf("v%d", i), m)
				if a.StatusCode != 201 && !strings.Contains(a.body, "MANIFEST_BLOB_UNKNOWN") {
					errs <- a.body
				}
				// Another worker may have deleted the same tag.
				if i%2 == 0 {
					continue
				}
				if a := l.do("DELETE", fmt.Sprintf("/v2/%s/manifests/v%d", repository, i), nil, nil); a.StatusCode != 202 && a.StatusCode != 404 {
					errs <- a.body
				}
			}
		}()
	}
	for workers := 8; workers > 0; {
		if e := <-errs; e != "" {
			t.Error(e)
		} else {
			workers--
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := l.server.opt.Store.Verify(t.Context(), true, func(p string) { t.Error(p) }); err != nil {
		t.Error(err)
	}
}
