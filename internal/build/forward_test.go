package build

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// A request that meets a builder whose remains are being taken away waits for
// the next builder.
func TestReachWaitsForTheDead(t *testing.T) {
	b := &Builder{log: slog.New(slog.DiscardHandler), cfg: Config{Idle: time.Hour}}
	dead := &process{socket: filepath.Join(t.TempDir(), "s"), done: make(chan struct{})}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	b.process = dead
	got := make(chan error, 1)
	go func() {
		_, _, err := b.reach(t.Context())
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(dead.done)
	// There is no binary for another.
	if err := <-got; !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "berth-build is neither") {
		t.Errorf("%v", err)
	}
	if b.idle != nil {
		b.idle.Stop()
	}
}

// fronted is an engine's side, by HTTP, of a builder that answers with h;
// returned has what Forward did.
func fronted(t *testing.T, h http.HandlerFunc) (engine *httptest.Server, returned <-chan error) {
	t.Helper()
	p := &process{socket: filepath.Join(t.TempDir(), "s"), done: make(chan struct{})}
	l, err := net.Listen("unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	builder := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- builder.Serve(l) }()
	t.Cleanup(func() { builder.Close(); <-served })
	b := &Builder{log: slog.New(slog.DiscardHandler), cfg: Config{Idle: time.Hour}, process: p}
	done := make(chan error, 1)
	engine = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { done <- b.Forward(w, r, r.URL.Path) }))
	t.Cleanup(func() {
		engine.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.idle != nil {
			b.idle.Stop()
		}
	})
	return engine, done
}

// A client that asks first if its body is wanted gets the builder's answer.
func TestForwardExpect(t *testing.T) {
	engine, returned := fronted(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprint(w, "built ", string(body), " ", err)
	})
	q, err := http.NewRequest(http.MethodPost, engine.URL+"/build", strings.NewReader("context"))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Expect", "100-continue")
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour, DisableKeepAlives: true}}
	resp, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "built context <nil>" {
		t.Errorf("%d %q, %v", resp.StatusCode, text, err)
	}
	if err := <-returned; err != nil {
		t.Error(err)
	}
}

// When the builder ends a connection that it took over, its client is not what
// keeps the next builder from resting.
func TestCarryEndsWithTheBuilder(t *testing.T) {
	engine, returned := fronted(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nlast words")
		conn.Close()
	})
	client, err := net.Dial("tcp", strings.TrimPrefix(engine.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(client, "POST /grpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n")
	if got, err := io.ReadAll(client); err != nil || !strings.HasSuffix(string(got), "last words") {
		t.Errorf("%q, %v", got, err)
	}
	select {
	case err := <-returned:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the client that is still there keeps the builder in use")
	}
}
