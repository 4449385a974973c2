// Package metrics tells Prometheus about an engine, in its text format. It has a
// writer of its own: the client library would cost an idle engine more memory than
// all that is told. Nothing of it survives the engine.
package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/system"

	"github.com/berth-containers/berth/internal/filters"
)

// Engine is who is asked at each scrape.
type Engine interface {
	Info(ctx context.Context) (system.Info, error)
	NetworkList(ctx context.Context, f filters.Filters) ([]network.Summary, error)
}

// bounds are those of the requests' histogram, in seconds.
var bounds = [...]float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// Metrics are counted from the start of the engine; a nil one counts nothing. It is
// safe for concurrent use.
type Metrics struct {
	mu     sync.Mutex
	routes map[string]*histogram
	failed map[string]uint64
	phases []phase
}

type histogram struct {
	counts [len(bounds)]uint64
	count  uint64
	sum    float64
}

type phase struct {
	name    string
	seconds float64
}

// New returns one that has counted nothing.
func New() *Metrics { return &Metrics{routes: map[string]*histogram{}, failed: map[string]uint64{}} }

// Observe notes a request to an operation of the API.
func (m *Metrics) Observe(operation string, took time.Duration, failed bool) {
	if m == nil || operation == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.routes[operation]
	if h == nil {
		h = &histogram{}
		m.routes[operation] = h
	}
	h.count++
	h.sum += took.Seconds()
	for i, bound := range bounds {
		if took.Seconds() <= bound {
			h.counts[i]++
		}
	}
	if failed {
		m.failed[operation]++
	}
}

// Phase notes how long a part of the engine's start took.
func (m *Metrics) Phase(name string, took time.Duration) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.phases = append(m.phases, phase{name, took.Seconds()})
}

// headerTimeout is how long a client may take to ask.
const headerTimeout = 10 * time.Second

// Serve answers GET /metrics on l until ctx ends.
func (m *Metrics) Serve(ctx context.Context, l net.Listener, e Engine) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		text, err := m.text(r.Context(), e)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(text) // a scraper that went away asks again
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout, WriteTimeout: headerTimeout}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

func (m *Metrics) text(ctx context.Context, e Engine) ([]byte, error) {
	info, err := e.Info(ctx)
	if err != nil {
		return nil, err
	}
	networks, err := e.NetworkList(ctx, nil)
	if err != nil {
		return nil, err
	}
	var b page
	b.head("engine_daemon_engine_info", "gauge", "The engine and its host.")
	b.line("engine_daemon_engine_info", 1, "architecture", info.Architecture, "daemon_id", info.ID, "graphdriver", info.Driver, "kernel", info.KernelVersion, "os", info.OperatingSystem, "version", info.ServerVersion)
	b.head("engine_daemon_engine_cpus_cpus", "gauge", "Processors of the host.")
	b.line("engine_daemon_engine_cpus_cpus", float64(info.NCPU))
	b.head("engine_daemon_engine_memory_bytes", "gauge", "Memory of the host.")
	b.line("engine_daemon_engine_memory_bytes", float64(info.MemTotal))
	b.head("engine_daemon_container_states_containers", "gauge", "Containers by state.")
	for _, s := range []struct {
		state string
		count int
	}{{"paused", info.ContainersPaused}, {"running", info.ContainersRunning}, {"stopped", info.ContainersStopped}} {
		b.line("engine_daemon_container_states_containers", float64(s.count), "state", s.state)
	}
	b.head("berth_images", "gauge", "Images.")
	b.line("berth_images", float64(info.Images))
	b.head("berth_networks", "gauge", "Networks.")
	b.line("berth_networks", float64(len(networks)))
	b.head("berth_events_listeners", "gauge", "Clients that listen to events.")
	b.line("berth_events_listeners", float64(info.NEventsListener))
	b.head("go_goroutines", "gauge", "Goroutines of the engine.")
	b.line("go_goroutines", float64(runtime.NumGoroutine()))
	m.own(&b)
	return b.Bytes(), nil
}

// own is what is counted here.
func (m *Metrics) own(b *page) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b.head("berth_start_seconds", "gauge", "How long the phases of the engine's start took.")
	for _, p := range m.phases {
		b.line("berth_start_seconds", p.seconds, "phase", p.name)
	}
	const name = "berth_api_request_seconds"
	b.head(name, "histogram", "How long requests took that are no streams, by operation of the API.")
	for _, operation := range slices.Sorted(maps.Keys(m.routes)) {
		h := m.routes[operation]
		for i, bound := range bounds {
			b.line(name+"_bucket", float64(h.counts[i]), "operation", operation, "le", strconv.FormatFloat(bound, 'g', -1, 64))
		}
		b.line(name+"_bucket", float64(h.count), "operation", operation, "le", "+Inf")
		b.line(name+"_sum", h.sum, "operation", operation)
		b.line(name+"_count", float64(h.count), "operation", operation)
	}
	b.head("berth_api_errors_total", "counter", "Requests that were refused or failed, by operation of the API.")
	for _, operation := range slices.Sorted(maps.Keys(m.failed)) {
		b.line("berth_api_errors_total", float64(m.failed[operation]), "operation", operation)
	}
}

// page is a text in Prometheus's format.
type page struct{ bytes.Buffer }

func (p *page) head(name, kind, help string) {
	fmt.Fprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// line has labels as names and values in turn.
func (p *page) line(name string, value float64, labels ...string) {
	p.WriteString(name)
	for i := 0; i < len(labels); i += 2 {
		sep := ","
		if i == 0 {
			sep = "{"
		}
		fmt.Fprintf(p, "%s%s=%s", sep, labels[i], quote(labels[i+1]))
	}
	if len(labels) > 0 {
		p.WriteByte('}')
	}
	fmt.Fprintf(p, " %s\n", strconv.FormatFloat(value, 'g', -1, 64))
}

// quote knows the three escapes that the format has.
func quote(s string) string {
	b := []byte{'"'}
	for i := range len(s) {
		switch s[i] {
		case '\\', '"':
			b = append(b, '\\', s[i])
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, s[i])
		}
	}
	return string(append(b, '"'))
}
