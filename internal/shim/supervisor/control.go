package supervisor

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/sys/pidfd"
	"github.com/berth-containers/berth/internal/sys/tty"
)

func decode[T any](r shim.Request) (T, error) {
	var q T
	if len(r.Body) == 0 {
		return q, errdefs.ErrInvalidArgument.WithMessage("request " + string(r.Method) + " has no body")
	}
	if err := json.Unmarshal(r.Body, &q); err != nil {
		return q, errdefs.ErrInvalidArgument.WithMessage("decode " + string(r.Method) + " request: " + err.Error())
	}
	return q, nil
}

// respond writes the response; the client may be gone, which is its business.
func respond(conn *net.UnixConn, body any, err error) bool {
	r := shim.Response{Version: shim.Version}
	if err == nil && body != nil {
		r.Body, err = json.Marshal(body)
	}
	if err != nil {
		r.Error = shim.NewError(err)
	}
	return shim.WriteFrame(conn, r) == nil && err == nil
}

// control does what needs only a target.
func (s *Server) control(m shim.Method, t shim.Target) error {
	k := key{t.ID, t.ExecID}
	switch m {
	case shim.MethodRelease:
		return s.release(t.ID)
	case shim.MethodSignal, shim.MethodResize, shim.MethodPause, shim.MethodResume:
	default:
		return errdefs.ErrNotImplemented.WithMessage("this shim does not know the request " + string(m))
	}
	p := s.running(k)
	if p == nil {
		return notFound(k)
	}
	switch m {
	case shim.MethodSignal:
		return signal(p, syscall.Signal(t.Signal))
	case shim.MethodResize:
		return resize(p, t.Width, t.Height)
	case shim.MethodPause:
		return s.freeze(p, true)
	}
	return s.freeze(p, false)
}

// running returns the process if it has not ended.
func (s *Server) running(k key) *proc {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.procs[k]
	if p == nil || p.hasEnded() {
		return nil
	}
	return p
}

func signal(p *proc, sig syscall.Signal) error {
	f := p.handle()
	if f == nil {
		return notFound(p.key)
	}
	err := pidfd.Signal(f, sig)
	switch {
	case errors.Is(err, syscall.ESRCH), errors.Is(err, os.ErrClosed):
		return notFound(p.key)
	case errors.Is(err, syscall.EINVAL):
		return errdefs.ErrInvalidArgument.WithMessage("no such signal: " + sig.String())
	}
	return err
}

func resize(p *proc, width, height uint16) error {
	p.mu.Lock()
	console := p.console
	p.mu.Unlock()
	if console == nil {
		return conflict("%s has no terminal", p.key)
	}
	if err := tty.Resize(console, width, height); errors.Is(err, os.ErrClosed) {
		return notFound(p.key)
	} else if err != nil {
		return err
	}
	return nil
}

func (s *Server) freeze(p *proc, frozen bool) error {
	st := p.snapshot()
	if st.CgroupPath == "" {
		return conflict("%s has no cgroup to freeze", p.key)
	}
	if err := s.runtime.Freeze(st.CgroupPath, frozen); p.hasEnded() {
		return notFound(p.key)
	} else if err != nil {
		return err
	}
	return s.change(p, func(st *state) { st.Paused = frozen })
}

// change changes the state of p, also on disk. NotFound: it has ended and was
// released meanwhile.
func (s *Server) change(p *proc, f func(*state)) error {
	p.saving.Lock() // keeps two changes in order on disk
	defer p.saving.Unlock()
	p.mu.Lock()
	f(&p.state)
	st := p.state
	p.mu.Unlock()
	err := writeJSON(s.places.file(p.key, stateFile), st)
	if errors.Is(err, fs.ErrNotExist) {
		return notFound(p.key)
	}
	return err
}

func (s *Server) list() []shim.Status {
	s.mu.Lock()
	procs := make([]*proc, 0, len(s.procs))
	for k, p := range s.procs {
		if k.execID == "" && !s.starting[k] {
			procs = append(procs, p)
		}
	}
	s.mu.Unlock()
	list := make([]shim.Status, 0, len(procs))
	for _, p := range procs {
		st := p.snapshot()
		list = append(list, shim.Status{
			ID: st.ID, Pid: st.Pid, StartedAt: st.StartedAt, CgroupPath: st.CgroupPath,
			Paused: st.Paused, Exit: p.result(),
		})
	}
	slices.SortFunc(list, func(a, b shim.Status) int { return cmp.Compare(a.ID, b.ID) })
	return list
}
