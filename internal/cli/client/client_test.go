package client

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve runs handler on a unix socket and returns a client of it.
func serve(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	return New("berth", func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	})
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestCalls(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.Method + " " + r.URL.Path {
		case "GET /v1.56/x":
			io.WriteString(w, `{"A":"`+r.URL.Query().Get("q")+`"}`)
		case "POST /v1.56/y":
			io.WriteString(w, `{"A":`+string(body)+`}`)
		case "DELETE /v1.56/z":
			w.WriteHeader(http.StatusNoContent)
		case "POST /v1.56/same":
			w.WriteHeader(http.StatusNotModified)
		case "GET /v1.56/missing":
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"message":"No such container: x"}`)
		case "GET /v1.56/plain":
			http.Error(w, "a proxy's words", http.StatusBadGateway)
		case "GET /v1.56/broken":
			io.WriteString(w, `{"A":`)
		}
	})
	ctx := testContext(t)
	var out struct{ A string }
	if err := c.Get(ctx, "/x", url.Values{"q": {"1"}}, &out); err != nil || out.A != "1" {
		t.Errorf("get: %q %v", out.A, err)
	}
	if err := c.Post(ctx, "/y", nil, "sent", &out); err != nil || out.A != "sent" {
		t.Errorf("post: %q %v", out.A, err)
	}
	if err := c.Delete(ctx, "/z", nil, nil); err != nil {
		t.Errorf("delete: %v", err)
	}
	if err := c.Post(ctx, "/same", nil, nil, nil); err != nil {
		t.Errorf("not modified: %v", err)
	}
	err := c.Get(ctx, "/missing", nil, &out)
	if !IsStatus(err, 404) || err.Error() != "Error response from daemon: No such container: x" {
		t.Errorf("missing: %v", err)
	}
	if err := c.Get(ctx, "/plain", nil, &out); err == nil || err.Error() != "Error response from daemon: a proxy's words" {
		t.Errorf("plain: %v", err)
	}
	if err := c.Get(ctx, "/broken", nil, &out); err == nil || !strings.Contains(err.Error(), "GET /broken") {
		t.Errorf("broken: %v", err)
	}
}

// An older engine names its version once; from then on it is spoken to in that.
func TestOlderEngine(t *testing.T) {
	var mu sync.Mutex
	var paths []string
	handler := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		paths = append(paths, r.URL.Path)
		mu.Unlock()
		switch {
		case r.URL.Path == "/_ping":
			w.Header().Set("Api-Version", "1.44")
		case !strings.HasPrefix(r.URL.Path, "/v1.44/"):
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"message":"client version 1.56 is too new. Maximum supported API version is 1.44"}`)
		default:
			body, _ := io.ReadAll(r.Body)
			io.WriteString(w, `"`+string(body)+`"`)
		}
	}
	c := serve(t, handler)
	var out string
	for range 2 {
		if err := c.Post(testContext(t), "/a", nil, 1, &out); err != nil || out != "1" {
			t.Errorf("%q %v", out, err)
		}
	}
	if got := strings.Join(paths, " "); got != "/v1.56/a /v1.44/a /v1.44/a" || c.Version() != "1.44" {
		t.Errorf("asked for %s, version %s", got, c.Version())
	}
	paths = nil
	c = serve(t, handler)
	body, err := c.Upload(testContext(t), "/load", nil, strings.NewReader("once"))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if b, _ := io.ReadAll(body); string(b) != `"once"` || strings.Join(paths, " ") != "/_ping /v1.44/load" {
		t.Errorf("%s by %v", b, paths)
	}
}

func TestHijack(t *testing.T) {
	for status, head := range map[int]string{
		101: "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
		200: "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n",
	} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") != "tcp" || r.URL.RawQuery != "stream=1" {
				t.Errorf("header %v, query %s", r.Header, r.URL.RawQuery)
			}
			conn, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, head+"early ")
			line, _ := rw.ReadString('\n')
			io.WriteString(conn, strings.ToUpper(line))
			rest, _ := io.ReadAll(rw) // until the half-close
			io.WriteString(conn, "ended after "+string(rest))
		})
		s, err := c.Hijack(testContext(t), "/attach", url.Values{"stream": {"1"}}, nil)
		if err != nil {
			t.Fatal(status, err)
		}
		io.WriteString(s, "hello\nmore")
		line, _ := bufio.NewReader(io.LimitReader(s, 12)).ReadString('\n')
		if err := s.CloseWrite(); err != nil {
			t.Error(err)
		}
		rest, err := io.ReadAll(s)
		if line != "early HELLO\n" || string(rest) != "ended after more" || err != nil {
			t.Errorf("%d: %q %q %v", status, line, rest, err)
		}
		s.Close()
	}
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, `{"message":"is not running"}`)
	})
	if _, err := c.Hijack(testContext(t), "/attach", nil, nil); !IsStatus(err, 409) {
		t.Errorf("refused: %v", err)
	}
}

func TestRef(t *testing.T) {
	for in, want := range map[string]string{"a/b:c@sha256:1": "a/b:c@sha256:1", "a?b#c d%": "a%3Fb%23c%20d%25"} {
		if got := Ref(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}
