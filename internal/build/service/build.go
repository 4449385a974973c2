package service

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/identity"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/jsonstream"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/berth-containers/berth/internal/build/query"
)

// jobs are the builds that can be cancelled by the ID that their client chose.
type jobs struct {
	mu   sync.Mutex
	list map[string]context.CancelFunc
}

func (j *jobs) begin(ctx context.Context, id string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	if id == "" {
		return ctx, cancel
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.list == nil {
		j.list = map[string]context.CancelFunc{}
	}
	j.list[id] = cancel
	return ctx, func() {
		cancel()
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.list, id)
	}
}

// cancel answers POST /build/cancel.
func (s *Service) cancel(w http.ResponseWriter, r *http.Request) error {
	s.jobs.mu.Lock()
	cancel := s.jobs.list[r.URL.Query().Get("id")]
	s.jobs.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// build answers POST /build: version 2 is a solve whose client has a session,
// version 1 the classic builder's.
func (s *Service) build(w http.ResponseWriter, r *http.Request) error {
	o, err := query.Parse(r.URL.Query())
	if err != nil {
		return err
	}
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		return err
	}
	req, err := o.Solve(s.setup.Gateway)
	if err != nil {
		return err
	}
	ctx, done := s.jobs.begin(r.Context(), o.BuildID)
	defer done()
	if o.Version != build.BuilderBuildKit || o.Session == "" {
		return s.classic(ctx, w, r, o, req)
	}
	out := newLines(w)
	if err := s.traced(ctx, req, out, o.Quiet); err != nil {
		out.fail(&jsonstream.Error{Message: err.Error()})
	}
	return nil
}

// traced solves and passes BuildKit's own progress on, or only the image's ID.
func (s *Service) traced(ctx context.Context, req *controlapi.SolveRequest, out *lines, quiet bool) error {
	id, err := s.solve(ctx, req, func(m *controlapi.StatusResponse) error {
		if quiet {
			return nil
		}
		b, err := proto.Marshal(m)
		if err != nil {
			return err
		}
		return out.aux("moby.buildkit.trace", b)
	})
	if err != nil || id == "" {
		return err
	}
	if quiet {
		return out.text(id + "\n")
	}
	return out.aux("moby.image.id", map[string]string{"ID": id})
}

// solve solves, tells of its progress, and returns the image's ID if there is one.
func (s *Service) solve(ctx context.Context, req *controlapi.SolveRequest, tell func(*controlapi.StatusResponse) error) (string, error) {
	req.Ref = identity.NewID()
	var watching sync.WaitGroup
	watching.Go(func() {
		// Not with ctx: a build that was cancelled has an end, too.
		_ = s.kit.Status(&controlapi.StatusRequest{Ref: req.Ref}, &statuses{ctx: context.WithoutCancel(ctx), each: tell})
	})
	answer, err := s.kit.Solve(ctx, req)
	watching.Wait()
	if err != nil {
		return "", err
	}
	if id := answer.ExporterResponse["berth.image.id"]; id != "" {
		return id, nil
	}
	return answer.ExporterResponse[exptypes.ExporterImageDigestKey], nil
}

// statuses is the receiver of a build's progress.
type statuses struct {
	grpc.ServerStream
	ctx  context.Context
	each func(*controlapi.StatusResponse) error
}

func (s *statuses) SendHeader(metadata.MD) error            { return nil }
func (s *statuses) Context() context.Context                { return s.ctx }
func (s *statuses) Send(m *controlapi.StatusResponse) error { return s.each(m) }
func (s *statuses) SendMsg(m any) error {
	if r, ok := m.(*controlapi.StatusResponse); ok {
		return s.each(r)
	}
	return fmt.Errorf("a progress of type %T", m)
}
