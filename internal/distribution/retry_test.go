package distribution

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/distribution/registrytest"
	"github.com/containerd/errdefs"
)

// busy answers 429 to the first so many requests.
func busy(t *testing.T, first int32, after string, next http.Handler) (host string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= first {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), asked
}

func TestBusyRegistry(t *testing.T) {
	r := registrytest.New(t, registrytest.OK)
	r.AddManifest("app", "1", "application/vnd.oci.image.manifest.v1+json", []byte(`{}`))

	host, _ := busy(t, 1, "1", r)
	began := time.Now()
	if _, err := repository(t, Options{}, host+"/app:1", Credentials{}).Resolve(context.Background()); err != nil {
		t.Errorf("busy for a second: %v", err)
	}
	if waited := time.Since(began); waited < time.Second {
		t.Errorf("asked again after %v, not the second that was asked for", waited)
	}

	host, asked := busy(t, 1000, "3600", r)
	if _, err := repository(t, Options{}, host+"/app:1", Credentials{}).Resolve(context.Background()); !errdefs.IsUnavailable(err) {
		t.Errorf("busy for an hour: %v", err)
	}
	if n := asked.Load(); n > 10 {
		t.Errorf("asked %d times", n)
	}

	host, asked = busy(t, 1000, "29", r)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for asked.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if _, err := repository(t, Options{}, host+"/app:1", Credentials{}).Resolve(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("given up while waiting: %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"0": 0, "7": 7 * time.Second, "Fri, 02 Jan 2026 03:04:25 GMT": 20 * time.Second, "Fri, 02 Jan 2026 03:00:00 GMT": 0,
		"": -1, "-1": -1, "soon": -1, "99999999999999999999": -1,
	} {
		got, ok := retryAfter(http.Header{"Retry-After": {text}}, now)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestPause(t *testing.T) {
	answer := func(status int, after string) *http.Response {
		return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}}}
	}
	for name, tc := range map[string]struct {
		failed int
		midway bool
		resp   *http.Response
		err    error
		wait   time.Duration
		again  bool
	}{
		"success":                {resp: answer(200, "")},
		"not found":              {resp: answer(404, "")},
		"busy":                   {resp: answer(429, ""), wait: 200 * time.Millisecond, again: true},
		"busy, again":            {failed: 2, resp: answer(503, ""), wait: 800 * time.Millisecond, again: true},
		"busy, for a while":      {resp: answer(429, "7"), wait: 7 * time.Second, again: true},
		"busy, for long":         {resp: answer(429, "700"), wait: 700 * time.Second},
		"busy, for ever":         {failed: retries, resp: answer(500, "")},
		"broken":                 {err: io.ErrUnexpectedEOF, wait: 200 * time.Millisecond, again: true},
		"not reached":            {err: syscall.ECONNREFUSED, wait: 200 * time.Millisecond},
		"not reached any longer": {midway: true, failed: 5, err: syscall.ECONNREFUSED, wait: 6400 * time.Millisecond, again: true},
		"gone":                   {midway: true, failed: retriesMidway, err: syscall.ECONNREFUSED},
	} {
		if wait, again := pause(tc.failed, tc.midway, tc.resp, tc.err); again != tc.again || again && wait != tc.wait {
			t.Errorf("%s: %v, %v", name, wait, again)
		}
	}
}
