// Package health watches containers by probes: a command in the container, or a
// question over its network that starts no process. What was found is kept in
// memory and, after each probe, in a file of the container, so that the next
// engine goes on where this one was killed. A torn file is as none.
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

// Wanted is whether a configuration asks for a watch. A word that is not known
// asks for none, as with Docker.
func Wanted(c *api.HealthConfig) bool {
	return c != nil && len(c.Test) > 0 && slices.Contains([]string{"CMD", "CMD-SHELL", WordHTTP, WordTCP}, c.Test[0])
}

// Direct is whether the probes start no process.
func Direct(c *api.HealthConfig) bool {
	return c != nil && len(c.Test) > 0 && (c.Test[0] == WordHTTP || c.Test[0] == WordTCP)
}

// Command is the command line of a probe in a container with this shell, nil
// for the image's own.
func Command(c *api.HealthConfig, shell []string) []string {
	if c.Test[0] == "CMD" {
		return c.Test[1:]
	}
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(shell), c.Test[1:]...)
}

// Watch is the health of one run of a container.
type Watch struct {
	config  api.HealthConfig
	started time.Time
	file    string

	mu     sync.Mutex
	health api.Health
	passed bool // once at least

	skipped time.Time // when Run last left a probe out
}

// New begins with "starting"; the run began at started, and file keeps what is found.
func New(c api.HealthConfig, started time.Time, file string) *Watch {
	c.Interval, c.Timeout, c.Retries = cmp.Or(c.Interval, defaultInterval), cmp.Or(c.Timeout, defaultTimeout), cmp.Or(c.Retries, defaultRetries)
	if c.StartInterval == 0 {
		c.StartInterval = min(defaultStartInterval, c.Interval)
	}
	return &Watch{config: c, started: started, file: file, health: api.Health{Status: api.Starting, Log: []*api.HealthcheckResult{}}}
}

// Health is a copy of what is known.
func (w *Watch) Health() api.Health {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.health
	h.Log = slices.Clone(h.Log)
	return h
}

// Passed is whether a probe has succeeded in this run.
func (w *Watch) Passed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.passed
}

// Hooks are what a watch asks and tells.
type Hooks struct {
	Probe   Probe
	Skip    func() bool            // asked before each probe
	Changed func(api.HealthStatus) // told of each new status
	Failed  func(error)            // told that a result could not be stored
}

// Run probes until ctx ends.
func (w *Watch) Run(ctx context.Context, h Hooks) {
	for {
		select {
		case <-time.After(w.pause(time.Now())):
		case <-ctx.Done():
			return
		}
		if h.Skip() {
			w.skipped = time.Now()
			continue
		}
		result := w.once(ctx, h.Probe)
		if ctx.Err() != nil {
			return
		}
		status, isNew := w.note(result)
		if err := w.save(); err != nil {
			h.Failed(err)
		}
		if isNew {
			h.Changed(status)
		}
	}
}

// pause is how long until the next probe: an interval after the start of the
// run, or the end of the last probe, which an earlier engine may have made.
func (w *Watch) pause(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.started
	if n := len(w.health.Log); n > 0 {
		last = w.health.Log[n-1].End
	}
	if w.skipped.After(last) {
		last = w.skipped
	}
	interval := w.config.Interval
	if w.starting(now) {
		interval = w.config.StartInterval
	}
	return max(0, min(interval, interval-now.Sub(last)))
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
