package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/execs"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/spec"
)

func noSuchExec(id string) error {
	return errdefs.ErrNotFound.WithMessage("No such exec instance: " + id)
}

// mayExec returns the container if a process may be added to it.
func (s streams) mayExec(ref string) (*container.Record, error) {
	r, err := s.records.Find(ref)
	if err != nil {
		return nil, err
	}
	switch r.State.Status {
	case container.Running:
		return r, nil
	case container.Paused:
		return nil, errdefs.ErrConflict.WithMessage("Container " + r.ID + " is paused, unpause the container before exec")
	case container.Restarting:
		return nil, errdefs.ErrConflict.WithMessage("Container " + r.ID + " is restarting, wait until the container is running")
	}
	return nil, notRunning(r)
}

// ExecCreate prepares a process in a running container.
func (s streams) ExecCreate(_ context.Context, ref string, q api.ExecCreateRequest) (string, error) {
	if len(q.Cmd) == 0 || q.Cmd[0] == "" {
		return "", errdefs.ErrInvalidArgument.WithMessage("No exec command specified")
	}
	r, err := s.mayExec(ref)
	if err != nil {
		return "", err
	}
	e := s.execs.New(r.ID, q)
	s.tellExec(r, events.ActionExecCreate, e)
	return e.ID, nil
}

// ExecStart runs it. If the program cannot be executed the error says so and
// ExecInspect has Docker's exit code.
func (s streams) ExecStart(ctx context.Context, id string, o ExecStartOptions) (*Attached, error) {
	e := s.execs.Get(id)
	if e == nil {
		return nil, noSuchExec(id)
	}
	r, err := s.mayExec(e.ContainerID)
	if err != nil {
		return nil, err
	}
	if !e.Begin() {
		return nil, errdefs.ErrConflict.WithMessage("Error: Exec command " + id + " has already run")
	}
	a, err := s.execute(ctx, r, e, o)
	if err != nil {
		e.End(max(126, min(127, exitCodeOf(err))))
		return nil, err
	}
	s.tellExec(r, events.ActionExecStart, e)
	return a, nil
}

func (s streams) execute(ctx context.Context, r *container.Record, e *execs.Exec, o ExecStartOptions) (*Attached, error) {
	process, err := s.execProcess(r, e.Request, o)
	if err != nil {
		return nil, err
	}
	q := e.Request
	a := &Attached{TTY: q.Tty}
	if !o.Detach && (q.AttachStdin || q.AttachStdout || q.AttachStderr) {
		stream, err := s.deps.Shim.Attach(ctx, shim.AttachRequest{ID: r.ID, ExecID: e.ID, Stdin: q.AttachStdin, Stdout: q.AttachStdout, Stderr: q.AttachStderr})
		if err != nil {
			return nil, fmt.Errorf("attach to exec: %w", err)
		}
		a.Stream = &execStream{stream, e}
	}
	// A client that goes away must not leave it in doubt whether it runs.
	pid, err := s.deps.Shim.Exec(context.WithoutCancel(ctx), shim.ExecRequest{ID: r.ID, ExecID: e.ID, Process: process, OpenStdin: q.AttachStdin && !o.Detach})
	if err != nil {
		if a.Stream != nil {
			s.quietly("close a stream", a.Stream.Close)
		}
		if errdefs.IsNotFound(err) || errdefs.IsPermissionDenied(err) {
			err = errdefs.ErrInvalidArgument.WithMessage("OCI runtime exec failed: " + err.Error())
		}
		return nil, err
	}
	e.SetPid(pid)
	return a, nil
}

// execStream ends when the exec's exit code is known: a client asks for it as
// soon as it has read everything.
type execStream struct {
	Stream
	exec *execs.Exec
}

func (s *execStream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if err == io.EOF {
		select {
		case <-s.exec.Done:
		case <-time.After(cleanup):
		}
	}
	return n, err
}

// execProcess is the container's process with the request's differences.
func (s streams) execProcess(r *container.Record, q api.ExecCreateRequest, o ExecStartOptions) (*specs.Process, error) {
	base, err := s.process(r)
	if err != nil {
		return nil, err
	}
	if o.ConsoleSize != nil {
		q.ConsoleSize = o.ConsoleSize
	}
	return spec.ExecProcess(r, &specs.Spec{Process: base}, q)
}

// process is that of the container's specification; it is built anew after a
// restart of the engine.
func (s streams) process(r *container.Record) (*specs.Process, error) {
	if l := s.lives.Get(r.ID); l != nil {
		if run := l.Current(); run != nil && run.Process != nil {
			return run.Process, nil
		}
	}
	in := spaces(s).input(r)
	if err := errors.Join(spaces(s).namespaces(r, &in), s.storage.Stacks(context.Background(), r, &in)); err != nil {
		return nil, err
	}
	out, err := s.deps.Spec(in)
	if err != nil {
		return nil, err
	}
	return out.Spec.Process, nil
}

// execExited takes the end of an exec that the shim tells of.
func (c *core) execExited(x shim.Exit) {
	e := c.execs.Get(x.ExecID)
	if e == nil {
		return // of an earlier engine
	}
	code := x.Code
	if x.Unknown != "" {
		code = -1
	}
	e.End(code)
	if r := c.records.Get(e.ContainerID); r != nil {
		c.tell(r, events.ActionExecDie, map[string]string{"execID": e.ID, "exitCode": fmt.Sprint(code)})
	}
}

// ExecInspect tells how an exec is.
func (s streams) ExecInspect(_ context.Context, id string) (api.ExecInspectResponse, error) {
	e := s.execs.Get(id)
	if e == nil {
		return api.ExecInspectResponse{}, noSuchExec(id)
	}
	return e.Inspect(), nil
}

// ExecResize sets the size of an exec's terminal.
func (s streams) ExecResize(ctx context.Context, id string, width, height uint16) error {
	e := s.execs.Get(id)
	if e == nil {
		return noSuchExec(id)
	}
	if !e.Running() {
		return errdefs.ErrConflict.WithMessage("exec process is not running")
	}
	if !e.Request.Tty {
		return nil // as Docker
	}
	if err := s.deps.Shim.Resize(ctx, e.ContainerID, id, width, height); err != nil {
		return fmt.Errorf("resize the terminal of exec %s: %w", id, err)
	}
	return nil
}
