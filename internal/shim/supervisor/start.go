package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/sys/fifo"
	"github.com/berth-containers/berth/internal/sys/pidfd"
	"github.com/berth-containers/berth/internal/undo"
)

// startRequest is a shim.StartRequest whose specification is kept as it came:
// an exec needs it again, and it is not worth memory until then.
type startRequest struct {
	shim.StartRequest
	Spec json.RawMessage `json:"spec"`
}

// answerStart starts a container and tells so. An engine that died meanwhile
// has no record that the container runs, and the next one may have listed what
// runs before this one did: then it must not run.
func (s launching) answerStart(ctx context.Context, conn *net.UnixConn, r shim.Request) {
	var started key
	told := answer(conn, r, func(q startRequest) (any, error) {
		made, err := s.start(ctx, q)
		if err == nil {
			started = key{q.ID, ""}
		}
		return made, err
	})
	if p := s.running(started); p != nil && !told {
		s.log.Warn("who had a container started is gone; it is killed", "container", started.id)
		if err := signal(p, syscall.SIGKILL); err != nil && !errdefs.IsNotFound(err) {
			s.log.Error("kill a container", "container", started.id, "error", err)
		}
	}
}

// start runs a container.
func (s launching) start(ctx context.Context, q startRequest) (_ shim.StartResponse, err error) {
	var spec specs.Spec
	if err := errors.Join(checkID(q.ID), logs.Validate(q.Log.Driver, q.Log.Opts)); err != nil {
		return shim.StartResponse{}, err
	}
	if err := json.Unmarshal(q.Spec, &spec); err != nil || spec.Process == nil {
		return shim.StartResponse{}, errdefs.ErrInvalidArgument.WithMessage("the specification of container " + q.ID + " has no process or can't be decoded")
	}
	p := newProc(state{
		ID: q.ID, TTY: spec.Process.Terminal, OpenStdin: q.OpenStdin, StdinOnce: q.StdinOnce,
		SharedPids: sharedPids(&spec), Log: q.Log,
	})
	if err := s.reserve(ctx, p); err != nil {
		return shim.StartResponse{}, err
	}
	defer s.settle(p)
	var steps undo.Stack
	defer func() { steps.OnError(ctx, &err) }()
	steps.Add(func(context.Context) error { return s.abandon(p) })

	dir := s.places.dir(q.ID)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return shim.StartResponse{}, err
	}
	if err := os.WriteFile(s.places.file(p.key, specFile), q.Spec, 0o600); err != nil {
		return shim.StartResponse{}, err
	}
	if err := s.openSink(p); err != nil {
		return shim.StartResponse{}, err
	}
	made, err := s.launch(p, func(files [3]*os.File) (Created, error) {
		return s.runtime.Create(ctx, Container{ID: q.ID, Spec: &spec, Bundle: q.Bundle, Rootfs: q.Rootfs, Stdio: files})
	})
	if err != nil {
		return shim.StartResponse{}, err
	}
	return s.execute(p, made)
}

// execute lets a created container run its program.
func (s launching) execute(p *proc, made Created) (shim.StartResponse, error) {
	warnings, err := made.Start()
	if err != nil {
		p.failed = true
		pidfd.Signal(p.pidfd, syscall.SIGKILL)
		ending(s).watch(p)
		return shim.StartResponse{}, err
	}
	closeFiles(made.Pidfd, made.Console)
	if err := s.change(p, func(st *state) { st.Running, st.StartedAt = true, time.Now() }); err != nil {
		s.log.Warn("a next shim will not know that the container runs", "container", p.key.id, "error", err)
	}
	s.work.Go(func() { ending(s).watch(p) })
	st := p.snapshot()
	return shim.StartResponse{Pid: st.Pid, StartedAt: st.StartedAt, CgroupPath: st.CgroupPath, Warnings: warnings}, nil
}

// exec runs one more process in a container.
func (s launching) exec(ctx context.Context, q shim.ExecRequest) (_ shim.StartResponse, err error) {
	if err := errors.Join(checkID(q.ID), checkID(q.ExecID)); err != nil {
		return shim.StartResponse{}, err
	}
	container := s.running(key{q.ID, ""})
	if container == nil {
		return shim.StartResponse{}, notFound(key{q.ID, ""})
	}
	if q.Process == nil {
		return shim.StartResponse{}, errdefs.ErrInvalidArgument.WithMessage("exec " + q.ExecID + " has no process")
	}
	var spec specs.Spec
	if err := readJSON(s.places.file(container.key, specFile), &spec); err != nil {
		return shim.StartResponse{}, err
	}
	p := newProc(state{ID: q.ID, ExecID: q.ExecID, TTY: q.Process.Terminal, OpenStdin: q.OpenStdin, StdinOnce: true})
	if err := s.reserve(ctx, p); err != nil {
		return shim.StartResponse{}, err
	}
	defer s.settle(p)
	var steps undo.Stack
	defer func() { steps.OnError(ctx, &err) }()
	steps.Add(func(context.Context) error { return s.abandon(p) })

	st := container.snapshot()
	made, err := s.launch(p, func(files [3]*os.File) (Created, error) {
		return s.runtime.Exec(ctx, Exec{
			ID: q.ID, Bundle: s.places.dir(q.ID), Pid: st.Pid, CgroupPath: st.CgroupPath, Spec: &spec, Process: q.Process, Stdio: files,
		})
	})
	if err != nil {
		return shim.StartResponse{}, err
	}
	closeFiles(made.Pidfd, made.Console)
	s.work.Go(func() { ending(s).watch(p) })
	return shim.StartResponse{Pid: made.Pid, StartedAt: p.snapshot().StartedAt, Warnings: made.Warnings}, nil
}

// sharedPids is whether the container's processes outlive its first one.
func sharedPids(spec *specs.Spec) bool {
	if spec.Linux != nil {
		for _, ns := range spec.Linux.Namespaces {
			if ns.Type == specs.PIDNamespace {
				return ns.Path != ""
			}
		}
	}
	return true
}

// reserve puts p on the list; an ended run of the same container that was
// released is waited for.
func (s launching) reserve(ctx context.Context, p *proc) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping() {
		return errdefs.ErrUnavailable.WithMessage("the shim is shutting down")
	}
	if s.procs[p.key] != nil {
		return errdefs.ErrAlreadyExists.WithMessage(p.key.String() + " runs, or its exit was not released")
	}
	s.procs[p.key] = p
	s.starting[p.key] = true
	return nil
}

// settle ends the streams that waited for p if it was not even created.
func (s launching) settle(p *proc) {
	s.mu.Lock()
	var waiting []*attached
	if s.starting[p.key] {
		delete(s.starting, p.key)
		waiting = s.waiting[p.key]
		delete(s.waiting, p.key)
	}
	s.mu.Unlock()
	for _, a := range waiting {
		a.stream.End()
	}
}

// abandon takes a process that was not started off the list again.
func (s launching) abandon(p *proc) error {
	s.mu.Lock()
	delete(s.procs, p.key)
	s.mu.Unlock()
	if p.handle() == nil { // nothing was created
		if p.sink != nil {
			p.sink.Close()
		}
		for _, pump := range p.pumps {
			pump.Close()
		}
		if p.stdin != nil {
			p.stdin.Close()
		}
	}
	if p.key.execID == "" {
		return os.RemoveAll(s.places.dir(p.key.id))
	}
	for _, name := range []string{stateFile, exitFile, "stdin", "stdout", "stderr"} {
		os.Remove(s.places.file(p.key, name))
	}
	return nil
}

// launch makes the stdio of p, lets make create the process with it, and starts
// to carry its output.
func (s launching) launch(p *proc, make func([3]*os.File) (Created, error)) (Created, error) {
	files, outputs, err := s.stdio(p)
	defer closeFiles(files[:]...)
	if err != nil {
		closeFiles(outputs...)
		return Created{}, err
	}
	made, err := make(files)
	if err != nil {
		closeFiles(outputs...)
		return Created{}, err
	}
	stat, statErr := readStat(made.Pid)
	p.mu.Lock()
	p.child, p.mounts = true, made.Mounts
	p.pidfd, err = fifo.Pollable(made.Pidfd)
	p.state.Pid, p.state.CgroupPath, p.state.StartTicks = made.Pid, made.CgroupPath, stat.startTicks
	p.state.StartedAt, p.state.Running = time.Now(), p.key.execID != ""
	p.mu.Unlock()
	if made.Console != nil {
		console, consoleErr := s.useConsole(p, made.Console)
		outputs, err = append(outputs, console), errors.Join(err, consoleErr)
	}
	// First the streams, then the pumps: no byte comes before its readers.
	attaching(s).admit(p)
	for i, out := range outputs {
		s.pump(p, out, logs.Stream(i+1))
	}
	if err = errors.Join(err, statErr, s.change(p, func(*state) {})); err != nil {
		s.kill(p, made)
		return Created{}, err
	}
	holding(s).share(p)
	return made, nil
}

// kill ends a process that can't be kept.
func (s launching) kill(p *proc, made Created) {
	p.failed = true
	if p.handle() == nil {
		// Not reaped yet, so the number is still its own.
		syscall.Kill(made.Pid, syscall.SIGKILL)
		closeFiles(made.Mounts)
		return
	}
	pidfd.Signal(p.pidfd, syscall.SIGKILL)
	ending(s).watch(p)
	closeFiles(made.Pidfd, made.Console)
}

// stdio makes the pipes of p: files are the program's, outputs ours.
func (s launching) stdio(p *proc) (files [3]*os.File, outputs []*os.File, err error) {
	if p.state.TTY {
		return files, nil, nil // the runtime makes the terminal
	}
	if p.state.OpenStdin {
		path := s.places.file(p.key, "stdin")
		if err := fifo.Make(path); err != nil {
			return files, nil, err
		}
		files[0], p.stdin, err = fifo.OpenInput(path)
	} else {
		files[0], err = os.Open(os.DevNull)
	}
	if err != nil {
		return files, nil, err
	}
	for i, stream := range p.streams() {
		path := s.places.file(p.key, stream.String())
		if err := fifo.Make(path); err != nil {
			return files, outputs, err
		}
		ours, err := fifo.OpenReader(path)
		if err != nil {
			return files, outputs, err
		}
		outputs = append(outputs, ours)
		if files[i+1], err = fifo.OpenForProgram(path); err != nil {
			return files, outputs, err
		}
	}
	return files, outputs, nil
}

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
