package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/health"
	"github.com/berth-containers/berth/internal/engine/lives"
	"github.com/berth-containers/berth/internal/engine/restart"
	"github.com/berth-containers/berth/internal/sys/netns/dial"
)

// watchHealth begins to probe a run, if its configuration asks for that, and ends
// with the run. w is what knownHealth says.
func (s streams) watchHealth(r *container.Record, w *health.Watch, run *lives.Run) {
	if w == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.background.Go(func() {
		defer cancel()
		select {
		case <-run.Exited:
		case <-s.closing:
		}
	})
	heal := func(status api.HealthStatus) {
		if status == api.Unhealthy && restart.Unhealthy(r) {
			s.background.Go(func() { s.heal(ctx, r.ID, run) })
		}
	}
	heal(w.Health().Status)
	s.background.Go(func() {
		w.Run(ctx, health.Hooks{
			Probe: func(ctx context.Context) (int, string, error) { return s.probe(ctx, r.ID) },
			Skip:  func() bool { r := s.records.Get(r.ID); return r == nil || r.State.Status != container.Running },
			Changed: func(status api.HealthStatus) {
				s.tell(s.records.Get(r.ID), events.ActionHealthStatus+events.Action(": "+status), nil)
				heal(status)
			},
			Failed: func(err error) {
				if ctx.Err() == nil {
					s.log.Warn("watch the health of a container", "container", r.ID, "error", err)
				}
			},
		})
		w.End()
	})
}

// knownHealth is the health of a container's last run, as far as it was stored;
// nil without a health check.
func (s streams) knownHealth(r *container.Record, l *lives.Live) *health.Watch {
	if !health.Wanted(r.Config.Healthcheck) {
		l.SetWatch(nil)
		return nil
	}
	w := health.New(*r.Config.Healthcheck, r.State.StartedAt, filepath.Join(s.dir(r.ID), "health.json"))
	w.Restore()
	l.SetWatch(w)
	return w
}

// heal ends a run because it is unhealthy; its end begins the next one.
func (s streams) heal(ctx context.Context, id string, run *lives.Run) {
	l, r, end, err := s.begin(ctx, id)
	if err != nil {
		return // it has ended meanwhile
	}
	defer end()
	if l.Current() != run || !r.State.Status.Alive() || r.StoppedByUser {
		return
	}
	sig, grace, err := stopWith(r, "", nil)
	if err != nil {
		s.log.Warn("stop an unhealthy container", "container", r.Name, "error", err)
		return
	}
	run.Healing.Store(true)
	s.log.Info("restart an unhealthy container", "container", r.Name)
	s.background.Go(func() {
		err := verbs(s).signal(ctx, r, sig)
		if err == nil {
			err = verbs(s).await(ctx, r, run, grace)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("stop an unhealthy container", "container", r.Name, "error", err)
		}
	})
}

// probe runs the health check's command in a container.
func (s streams) probe(ctx context.Context, id string) (code int, output string, err error) {
	r, err := s.mayExec(id)
	if err != nil {
		return -1, "", err
	}
	if health.Direct(r.Config.Healthcheck) {
		return ask(ctx, r)
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

// ask probes over the container's network.
func ask(ctx context.Context, r *container.Record) (code int, output string, err error) {
	target, err := health.Parse(r.Config.Healthcheck.Test)
	if err != nil {
		return -1, "", err
	}
	ns, err := os.Open(sandboxPath(r))
	if err != nil {
		return -1, "", fmt.Errorf("find the container's network: %w", err)
	}
	defer ns.Close()
	code, output = target.Probe(ctx, func(ctx context.Context, to netip.AddrPort) (net.Conn, error) { return dial.TCP(ctx, ns, to) })
	return code, output, nil
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
