package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/berth-containers/berth/internal/registry/store"
)

// collector runs one collection at a time.
type collector struct{ busy chan struct{} }

// Collect runs a collection, after one that is running.
func (s *Server) Collect(ctx context.Context, opt store.CollectOptions) (store.CollectReport, error) {
	select {
	case s.collector.busy <- struct{}{}:
		defer func() { <-s.collector.busy }()
	case <-ctx.Done():
		return store.CollectReport{}, ctx.Err()
	}
	report, err := s.opt.Store.Collect(ctx, opt)
	if !opt.DryRun {
		s.metrics.collected(report, err)
		s.usage.Reset()
		s.log.Info("garbage was collected", "repositories", report.Repositories, "kept", report.Kept, "blobs", report.Blobs,
			"bytes", report.Bytes, "uploads", report.Uploads, "in use", report.InUse, "missing", len(report.Missing), "error", err)
	}
	return report, err
}

// CollectEvery collects at an interval until the context ends.
func (s *Server) CollectEvery(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_, _ = s.Collect(ctx, s.opt.Collect) // it is in the log
		case <-ctx.Done():
			return
		}
	}
}

// CollectAnswer is what the control socket says.
type CollectAnswer struct {
	Report store.CollectReport `json:"report"`
	Error  string              `json:"error,omitempty"`
}

// Control is what the registry's own commands ask, on a socket for its user only.
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /collect", func(w http.ResponseWriter, r *http.Request) {
		var opt store.CollectOptions
		if err := json.NewDecoder(r.Body).Decode(&opt); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		report, err := s.Collect(r.Context(), opt)
		answer := CollectAnswer{Report: report}
		if err != nil {
			answer.Error = err.Error()
		}
		writeJSON(w, "application/json", answer)
	})
	return mux
}
