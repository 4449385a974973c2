package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// front stands before a registry and can misbehave in its place.
type front struct {
	Host   string
	server *httptest.Server
	behave atomic.Pointer[http.HandlerFunc]
	next   http.Handler
	weir   atomic.Pointer[weir]
	total  atomic.Int64 // bytes of blobs that went out, over all
}

// weir lets so many bytes of blobs through and then falls silent.
type weir struct {
	limit  int64
	sent   atomic.Int64
	silent chan struct{}
	once   sync.Once
}

// sent is the bytes of blobs since the last hold or release.
func (f *front) sent() int64 { return f.weir.Load().sent.Load() }

func newFront(t *testing.T, registry string) *front {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: registry})
	proxy.ErrorLog = log.New(io.Discard, "", 0) // what breaks here was broken on purpose
	f := &front{next: proxy}
	f.release()
	f.server = httptest.NewUnstartedServer(f)
	// What is sent is not to wait here for long.
	f.server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetWriteBuffer(32 << 10)
		}
		return ctx
	}
	f.server.Start()
	t.Cleanup(f.server.Close)
	f.Host = strings.TrimPrefix(f.server.URL, "http://")
	return f
}

// hold makes the front fall silent after so many bytes of blobs, and returns
// what is closed then.
func (f *front) hold(bytes int64) <-chan struct{} {
	w := &weir{limit: bytes, silent: make(chan struct{})}
	f.weir.Store(w)
	return w.silent
}

func (f *front) release() { f.hold(1 << 62) }

func (f *front) set(h http.HandlerFunc) { f.behave.Store(&h) }

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := f.behave.Load(); h != nil && *h != nil {
		(*h)(w, r)
		return
	}
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
		w = &counted{ResponseWriter: w, f: f, r: r}
	}
	f.next.ServeHTTP(w, r)
}

type counted struct {
	http.ResponseWriter
	f *front
	r *http.Request
}

func (c *counted) Write(b []byte) (int, error) {
	if w := c.f.weir.Load(); w.sent.Add(int64(len(b))) > w.limit {
		if flusher, ok := c.ResponseWriter.(http.Flusher); ok {
			flusher.Flush()
		}
		w.once.Do(func() { close(w.silent) })
		<-c.r.Context().Done() // until the client gives up
		panic(http.ErrAbortHandler)
	}
	n, err := c.ResponseWriter.Write(b)
	c.f.total.Add(int64(n))
	return n, err
}

// fiveLayers puts an image of five layers into the registry and returns its
// size in bytes; the engine keeps none of it.
func fiveLayers(t *testing.T, e *harness.Engine, registry, name string, size int) int64 {
	t.Helper()
	ref := registry + "/" + name
	layers := harness.Layers(t, 5, size)
	var total int64
	for _, l := range layers {
		total += int64(len(l))
	}
	cmd := e.Command("berth", "load")
	cmd.Stdin = bytes.NewReader(harness.Archive(t, ref, layers...))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("load: %v\n%s", err, out)
	}
	e.OK("push", ref)
	e.OK("rmi", ref)
	shrunk(t, e, 0)
	return total
}

// size is what the store has on disk, in bytes.
func size(e *harness.Engine) int64 {
	return sizeOf(filepath.Join(e.DataRoot, "images")) + sizeOf(filepath.Join(e.DataRoot, "snapshots")) + sizeOf(filepath.Join(e.DataRoot, "rootfs"))
}

func sizeOf(dir string) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}

// shrunk waits until what nobody owns is collected: no more than most bytes,
// besides what the small images have.
func shrunk(t *testing.T, e *harness.Engine, most int64) {
	t.Helper()
	const slack = 10 << 20
	harness.Eventually(t, fmt.Sprintf("the store to shrink to %d bytes", most), func() bool { return size(e) <= most+slack })
}

// arrived waits until the engine has so many bytes of blobs: what the front has
// sent may still be on its way.
func arrived(t *testing.T, e *harness.Engine, bytes int64) {
	t.Helper()
	harness.Eventually(t, "the bytes to arrive", func() bool { return sizeOf(filepath.Join(e.DataRoot, "images")) >= bytes })
}

// valid has skopeo read the layout.
func valid(t *testing.T, e *harness.Engine, name string) {
	t.Helper()
	out, err := exec.Command("skopeo", "inspect", "oci:"+e.DataRoot+"/images:"+name).CombinedOutput()
	if err != nil {
		t.Errorf("skopeo inspect %s: %v\n%s", name, err, out)
	}
}

func TestKillEngineWhilePulling(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	registry := harness.Registry(t)
	total := fiveLayers(t, e, registry, "big:1", 8<<20)
	f := newFront(t, registry)
	ref := f.Host + "/big:1"
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 10 {
		// Mostly while bytes come, sometimes when they all have.
		at := random.Int64N(total * 6 / 5)
		silent := f.hold(at)
		pull := e.Command("berth", "pull", "-q", ref)
		if err := pull.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- pull.Wait() }()
		select {
		case <-silent:
			e.Kill()
			<-ended
		case <-ended: // resumed and complete
			e.Kill()
		}
		e.Start()
		valid(t, e, "busybox:latest")
		if got := size(e); got > 3*total {
			t.Errorf("round %d: %d bytes on disk for an image of %d", round, got, total)
		}
		if strings.Contains(e.OK("images"), "big") {
			e.OK("rmi", ref)
		}
	}
	f.release()
	e.OK("pull", ref)
	valid(t, e, ref)
	shrunk(t, e, 2*total)
	if left, _ := filepath.Glob(filepath.Join(e.DataRoot, "images/ingest/*")); len(left) > 0 {
		t.Errorf("partial blobs are left: %v", left)
	}
	e.OK("rmi", ref)
	shrunk(t, e, 0)
}

func TestInterruptedPull(t *testing.T) {
	e := harness.New(t)
	registry := harness.Registry(t)
	total := fiveLayers(t, e, registry, "big:1", 8<<20)
	f := newFront(t, registry)
	ref := f.Host + "/big:1"
	silent := f.hold(total / 2)
	pull := e.Command("berth", "pull", ref)
	if err := pull.Start(); err != nil {
		t.Fatal(err)
	}
	<-silent
	arrived(t, e, total*2/5)
	if err := pull.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := pull.Wait(); err == nil {
		t.Error("an interrupted pull succeeds")
	}
	f.release()
	e.OK("pull", ref)
	if got := f.sent(); got >= total*3/4 {
		t.Errorf("the second pull fetched %d bytes of %d: it did not resume", got, total)
	}
	shrunk(t, e, 2*total)
}

func TestRegistryDiesWhilePulling(t *testing.T) {
	e := harness.New(t)
	registry := harness.Registry(t)
	total := fiveLayers(t, e, registry, "big:1", 8<<20)
	f := newFront(t, registry)
	ref := f.Host + "/big:1"
	silent := f.hold(total / 2)
	var said bytes.Buffer
	pull := e.Command("berth", "pull", "-q", ref)
	pull.Stderr = &said
	if err := pull.Start(); err != nil {
		t.Fatal(err)
	}
	<-silent
	arrived(t, e, total*2/5)
	f.set(status(503, ""))
	f.server.CloseClientConnections()
	if err := pull.Wait(); err == nil || strings.Count(strings.TrimSpace(said.String()), "\n") > 0 || said.Len() == 0 {
		t.Errorf("pull from a dead registry: %v, %q, want one line", err, said.String())
	}
	if strings.Contains(e.OK("images"), "big") {
		t.Error("an image appeared")
	}
	f.set(nil)
	f.release()
	e.OK("pull", "-q", ref)
	if got := f.sent(); got >= total*3/4 {
		t.Errorf("the second pull fetched %d bytes of %d: it did not resume", got, total)
	}
	shrunk(t, e, 2*total)
}

// Two clients ask for the same image at once, and one for its removal.
func TestPullAndRemoveTogether(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	registry := harness.Registry(t)
	total := fiveLayers(t, e, registry, "big:1", 4<<20)
	f := newFront(t, registry)
	ref := f.Host + "/big:1"
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			if out, err := e.Command("docker", "pull", ref).CombinedOutput(); err != nil {
				t.Errorf("pull: %v\n%s", err, out)
			}
		})
	}
	clients.Wait()
	if got := f.sent(); got > total*5/4 {
		t.Errorf("three pulls at once fetched %d bytes of %d", got, total)
	}
	for range 5 {
		clients.Go(func() {
			if out, err := e.Command("berth", "pull", "-q", ref).CombinedOutput(); err != nil {
				t.Errorf("pull: %v\n%s", err, out)
			}
		})
		clients.Go(func() {
			_ = e.Command("berth", "rmi", ref).Run() // it may be gone already
		})
	}
	clients.Wait()
	e.OK("pull", "-q", ref)
	shrunk(t, e, 2*total)
	valid(t, e, ref)
}

func status(code int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

func manifest(mediaType, body string) http.HandlerFunc {
	return status(200, body, "Content-Type", mediaType, "Docker-Content-Digest", "sha256:"+harness.Sum([]byte(body)))
}

func TestMisbehavingRegistries(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	registry := harness.Registry(t)
	fiveLayers(t, e, registry, "small:1", 256<<10)
	f := newFront(t, registry)
	ref := f.Host + "/small:1"
	onBlobs := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/blobs/") {
				h(w, r)
				return
			}
			f.next.ServeHTTP(w, r)
		}
	}
	const docker2 = "application/vnd.docker.distribution.manifest.v2+json"
	for name, tc := range map[string]struct {
		behave http.HandlerFunc
		want   string
	}{
		"html for a manifest": {status(200, "<html>welcome</html>", "Content-Type", "text/html"), ""},
		"html for blobs":      {onBlobs(status(200, "<html>welcome</html>")), ""},
		"empty blobs":         {onBlobs(status(200, "")), ""},
		"401 for ever":        {status(401, "", "WWW-Authenticate", `Basic realm="x"`), "pull access denied"},
		"401, token server 401": {func(w http.ResponseWriter, r *http.Request) {
			status(401, "", "WWW-Authenticate", `Bearer realm="http://`+f.Host+`/token",service="x"`)(w, r)
		}, "pull access denied"},
		"401, no challenge": {status(401, ""), "pull access denied"},
		"429 for ever":      {status(429, "", "Retry-After", "3600"), "toomanyrequests"},
		"500":               {status(500, "oops"), "500"},
		"redirects in a ring": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		}, "redirects"},
		"schema 1": {manifest("application/vnd.docker.distribution.manifest.v1+prettyjws",
			`{"schemaVersion":1,"name":"small","tag":"1","fsLayers":[],"history":[]}`), "schema"},
		"null":             {manifest(docker2, `null`), ""},
		"no JSON":          {manifest(docker2, `{"schemaVersion":`), "not JSON"},
		"no configuration": {manifest(docker2, `{"schemaVersion":2,"layers":[]}`), ""},
		"bad digests":      {manifest(docker2, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"sha256:../../../etc/passwd","size":3},"layers":[]}`), "digest"},
		"no digests":       {manifest(docker2, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":3},"layers":[{}]}`), "digest"},
		"an artifact":      {manifest("application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:`+harness.Sum(nil)+`","size":0},"layers":[]}`), "not a container image"},
		"an index of none": {manifest("application/vnd.oci.image.index.v1+json", `{"schemaVersion":2,"manifests":[]}`), "no matching manifest"},
		"huge manifest":    {manifest(docker2, `{"schemaVersion":2,"x":"`+strings.Repeat("x", 5<<20)+`"}`), "larger than allowed"},
		"other manifest":   {manifest("application/x-tar", `{}`), "application/x-tar"},
	} {
		t.Run(name, func(t *testing.T) {
			f.set(tc.behave)
			r := e.Berth("pull", "-q", ref)
			line := strings.TrimSpace(r.Err)
			if r.Code != 1 || strings.Count(line, "\n") > 0 || !strings.Contains(line, tc.want) || line == "" {
				t.Errorf("exit %d, want one line with %q: %q", r.Code, tc.want, r.Err)
			}
			if strings.Contains(e.OK("images"), "small") {
				t.Error("an image appeared")
			}
		})
	}
	f.set(nil)
	e.OK("pull", "-q", ref)
	e.OK("rmi", ref)
	shrunk(t, e, 0)
	if left, _ := os.ReadDir(filepath.Join(e.DataRoot, "images/ingest")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
