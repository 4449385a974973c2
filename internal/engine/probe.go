package engine

import (
	"context"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/health"
	"github.com/berth-containers/berth/internal/engine/lives"
)

// watchHealth begins to probe a run, if its configuration asks for that, and ends
// with the run.
func (s streams) watchHealth(r *container.Record, run *lives.Run) {
	if !health.Wanted(r.Config.Healthcheck) {
		return
	}
	w := health.New(*r.Config.Healthcheck, r.State.StartedAt)
	run.Watch.Store(w)
	ctx, cancel := context.WithCancel(context.Background())
	s.background.Go(func() {
		defer cancel()
		select {
		case <-run.Exited:
		case <-s.closing:
		}
	})
	s.background.Go(func() {
		id := r.ID
		w.Run(ctx, func(ctx context.Context) (int, string, error) { return s.probe(ctx, id) },
			func() bool { r := s.records.Get(id); return r == nil || r.State.Status != container.Running },
			func(status api.HealthStatus) {
				s.tell(s.records.Get(id), events.ActionHealthStatus+events.Action(": "+status), nil)
			})
		w.End()
	})
}

// probe runs the health check's command in a container.
func (s streams) probe(ctx context.Context, id string) (code int, output string, err error) {
	r, err := s.mayExec(id)
	if err != nil {
		return -1, "", err
	}
	e := s.execs.New(id, api.ExecCreateRequest{Cmd: health.Command(r.Config.Healthcheck, r.Config.Shell), AttachStdout: true, AttachStderr: true})
	defer s.execs.Drop(e.ID)
	s.tellExec(r, events.ActionExecCreate, e)
	e.Begin()
	a, err := s.execute(ctx, r, e, ExecStartOptions{})
	if err != nil {
		e.End(-1)
		return -1, "", err
	}
	s.tellExec(r, events.ActionExecStart, e)
	defer a.Stream.Close()
	defer context.AfterFunc(ctx, func() {
		s.quietly("kill a health check", func() error {
			err := s.deps.Shim.Signal(context.WithoutCancel(ctx), id, e.ID, syscall.SIGKILL)
			if errdefs.IsNotFound(err) { // it has just ended
				return nil
			}
			return err
		})
	})()
	var out limited
	_, err = stdcopy.StdCopy(&out, &out, a.Stream)
	return e.Code(), out.String(), err
}

// limited keeps the beginning of what is written.
type limited struct{ strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	l.Builder.Write(p[:min(len(p), max(0, health.MaxOutput-l.Len()))])
	return len(p), nil
}

// healthIs is whether a container has this state of health.
func (q queries) healthIs(r *container.Record, status string) bool {
	have := api.NoHealthcheck
	if h := q.lives.Health(r.ID); h != nil {
		have = h.Status
	}
	return string(have) == status
}
