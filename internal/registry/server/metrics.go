package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/berth-containers/berth/internal/registry/store"
)

// Metrics are what Prometheus may ask for.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	received prometheus.Counter
	sent     prometheus.Counter
	running  prometheus.Gauge
	denied   *prometheus.CounterVec
	full     prometheus.Counter
	wrong    prometheus.Counter
	runs     *prometheus.CounterVec
	freed    prometheus.Counter
	blobs    prometheus.Gauge
}

// NewMetrics makes a set of its own.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "berth_registry_requests_total", Help: "Requests answered."}, []string{"method", "about", "status"}),
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "berth_registry_request_seconds", Help: "How long requests took.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 10)}, []string{"about"}),
		received: prometheus.NewCounter(prometheus.CounterOpts{Name: "berth_registry_received_bytes_total", Help: "Bytes of requests' bodies."}),
		sent:     prometheus.NewCounter(prometheus.CounterOpts{Name: "berth_registry_sent_bytes_total", Help: "Bytes of answers' bodies."}),
		running:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "berth_registry_requests_running", Help: "Requests being answered."}),
		denied:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "berth_registry_denied_total", Help: "Requests refused for a wrong credential or a missing right."}, []string{"what"}),
		full:     prometheus.NewCounter(prometheus.CounterOpts{Name: "berth_registry_quota_refusals_total", Help: "Pushes refused by a quota."}),
		wrong:    prometheus.NewCounter(prometheus.CounterOpts{Name: "berth_registry_rights_errors_total", Help: "Versions of the rights file that were not taken."}),
		runs:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "berth_registry_collections_total", Help: "Collections of garbage."}, []string{"result"}),
		freed:    prometheus.NewCounter(prometheus.CounterOpts{Name: "berth_registry_collected_bytes_total", Help: "Bytes that collections removed."}),
		blobs:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "berth_registry_blobs", Help: "Blobs that the last collection kept."}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.received, m.sent, m.running, m.denied, m.full, m.wrong, m.runs, m.freed, m.blobs,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves them.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// RightsFailed counts a rights file that was not taken.
func (m *Metrics) RightsFailed() { m.wrong.Inc() }

func (m *Metrics) collected(r store.CollectReport, err error) {
	result := "done"
	if err != nil {
		result = "failed"
	}
	m.runs.WithLabelValues(result).Inc()
	m.freed.Add(float64(r.Bytes))
	if err == nil {
		m.blobs.Set(float64(r.Kept))
	}
}
