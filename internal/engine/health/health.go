// Package health watches containers by probes and keeps what was found, in
// memory: the next engine begins anew with "starting".
package health

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	api "github.com/moby/moby/api/types/container"
)

// Docker's defaults, and what it keeps.
const (
	defaultInterval      = 30 * time.Second
	defaultTimeout       = 30 * time.Second
	defaultStartInterval = 5 * time.Second
	defaultRetries       = 3
	keptResults          = 5
	// MaxOutput is how much of a probe's output is kept, in bytes.
	MaxOutput = 4096
)

// Probe is run once. Its error says that it could not be run to an end; ctx ends
// when the probe has taken too long.
type Probe func(ctx context.Context) (code int, output string, err error)

// Wanted is whether a configuration asks for a watch.
func Wanted(c *api.HealthConfig) bool {
	return c != nil && len(c.Test) > 0 && c.Test[0] != "NONE"
}

// Command is the command line of a probe in a container with this shell, nil
// for the image's own.
func Command(c *api.HealthConfig, shell []string) []string {
	switch c.Test[0] {
	case "CMD":
		return c.Test[1:]
	case "CMD-SHELL":
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		return append(slices.Clone(shell), c.Test[1:]...)
	}
	return c.Test // as Docker takes it
}

// Watch is the health of one run of a container.
type Watch struct {
	config  api.HealthConfig
	started time.Time

	mu     sync.Mutex
	health api.Health
	passed bool // once at least
}

// New begins with "starting"; the run began at started.
func New(c api.HealthConfig, started time.Time) *Watch {
	c.Interval, c.Timeout = cmp.Or(c.Interval, defaultInterval), cmp.Or(c.Timeout, defaultTimeout)
	c.StartInterval, c.Retries = cmp.Or(c.StartInterval, defaultStartInterval), cmp.Or(c.Retries, defaultRetries)
	return &Watch{config: c, started: started, health: api.Health{Status: api.Starting, Log: []*api.HealthcheckResult{}}}
}

// Health is a copy of what is known.
func (w *Watch) Health() api.Health {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.health
	h.Log = slices.Clone(h.Log)
	return h
}

// Run probes until ctx ends. skip is asked before each probe; changed is told of
// each new status.
func (w *Watch) Run(ctx context.Context, probe Probe, skip func() bool, changed func(api.HealthStatus)) {
	for {
		select {
		case <-time.After(w.pause(time.Now())):
		case <-ctx.Done():
			return
		}
		if skip() {
			continue
		}
		result := w.once(ctx, probe)
		if ctx.Err() != nil {
			return
		}
		if status, isNew := w.note(result); isNew {
			changed(status)
		}
	}
}

// pause is how long until the next probe.
func (w *Watch) pause(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.starting(now) {
		return min(w.config.StartInterval, w.config.Interval)
	}
	return w.config.Interval
}

// starting is whether failures do not count yet.
func (w *Watch) starting(now time.Time) bool {
	return !w.passed && w.config.StartPeriod > 0 && now.Sub(w.started) < w.config.StartPeriod
}

func (w *Watch) once(ctx context.Context, probe Probe) *api.HealthcheckResult {
	ctx, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	r := &api.HealthcheckResult{Start: time.Now()}
	code, output, err := probe(ctx)
	r.End, r.ExitCode, r.Output = time.Now(), code, output[:min(len(output), MaxOutput)]
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		r.ExitCode, r.Output = -1, fmt.Sprintf("Health check exceeded timeout (%s)", w.config.Timeout)
		if output != "" {
			r.Output += ": " + output
		}
	case err != nil:
		r.ExitCode, r.Output = -1, err.Error()
	}
	return r
}

// note takes one result.
func (w *Watch) note(r *api.HealthcheckResult) (status api.HealthStatus, isNew bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := &w.health
	h.Log = append(h.Log, r)
	h.Log = h.Log[max(0, len(h.Log)-keptResults):]
	before := h.Status
	switch {
	case r.ExitCode == 0:
		w.passed, h.FailingStreak, h.Status = true, 0, api.Healthy
	case w.starting(r.Start):
	default:
		if h.FailingStreak++; h.FailingStreak >= w.config.Retries {
			h.Status = api.Unhealthy
		}
	}
	return h.Status, h.Status != before
}

// End is the end of the run: what does not run is not healthy.
func (w *Watch) End() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.health.Status = api.Unhealthy
}
