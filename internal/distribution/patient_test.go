package distribution

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
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

	host, asked = busy(t, 1000, "9", r)
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
