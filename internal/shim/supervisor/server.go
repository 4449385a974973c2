// Package supervisor is the shim's side of the protocol in package shim: the
// parent of the containers of one engine.
//
// Each process has a directory entry below <exec-root>/shim/<id>/ that says all
// that another shim needs to take it over; see docs/design/shim.md for what a
// crash leaves behind. There is one goroutine per process and one per output,
// all asleep in the poller; none holds a buffer or a thread while idle.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/shim/supervisor/stdio"
	"github.com/berth-containers/berth/internal/sys/filelock"
	"github.com/berth-containers/berth/internal/sys/unixsock"
)

// Server is a shim.
type Server struct {
	runtime Runtime
	log     *slog.Logger
	places  places
	buffers *stdio.Buffers
	lock    *os.File

	work    sync.WaitGroup
	stop    chan struct{}
	stopped sync.Once
	offered chan struct{} // closed when the second holder, if any, gave what it has
	once    sync.Once
	holders holders
	deposit deposit
	inputs  sync.Pool // of *[4096]byte

	mu        sync.Mutex
	procs     map[key]*proc
	starting  map[key]bool
	waiting   map[key][]*attached
	listeners map[*listener]struct{}
}

// The server's work, by subject.
type (
	launching struct{ *Server } // start and exec
	ending    struct{ *Server } // exits, and what is removed after them
	attaching struct{ *Server } // streams
	holding   struct{ *Server } // the second holder
	takeover  struct{ *Server } // what an earlier shim left
)

// offerTimeout is how long processes that ended unseen wait for a holder.
const offerTimeout = 30 * time.Second

// New takes the exec root, and over what an earlier shim left there.
// ErrAlreadyExists: another shim serves it.
func New(execRoot string, r Runtime, log *slog.Logger) (*Server, error) {
	s := &Server{
		runtime: r, log: log, places: places(execRoot), buffers: stdio.NewBuffers(),
		inputs: sync.Pool{New: func() any { return new([4096]byte) }},
		stop:   make(chan struct{}), offered: make(chan struct{}),
		procs: map[key]*proc{}, starting: map[key]bool{}, waiting: map[key][]*attached{}, listeners: map[*listener]struct{}{},
	}
	if err := os.MkdirAll(filepath.Join(execRoot, "shim"), 0o700); err != nil {
		return nil, err
	}
	lock, err := filelock.Take(filepath.Join(execRoot, "shim.lock"))
	if errors.Is(err, syscall.EAGAIN) {
		return nil, errdefs.ErrAlreadyExists.WithMessage("another shim serves " + execRoot)
	}
	if err != nil {
		return nil, err
	}
	s.lock = lock
	if err := (takeover{s}).takeOver(); err != nil {
		lock.Close()
		return nil, err
	}
	return s, nil
}

// Serve answers requests until Shutdown was asked for and granted.
func (s *Server) Serve() error {
	path := filepath.Join(string(s.places), shim.SocketName)
	// The lock is ours: whoever made this socket is gone.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// Made under another name: whoever finds the socket finds it answering.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + ".new", Net: "unix"})
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(path+".new", 0o600); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		l.Close()
		return err
	}
	timer := time.AfterFunc(offerTimeout, s.offersDone)
	defer timer.Stop()
	s.work.Go(func() { <-s.stop; l.Close() })
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			if s.stopping() {
				s.settleWork()
				return errors.Join(os.Remove(path), s.lock.Close())
			}
			s.log.Warn("accept", "error", err)
			s.pause()
			continue
		}
		go s.serve(conn)
	}
}

// workTimeout is how long the end waits for cgroups to go.
const workTimeout = 15 * time.Second

// settleWork waits until what is left of ended containers is removed.
func (s *Server) settleWork() {
	done := make(chan struct{})
	go func() { s.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(workTimeout):
		s.log.Warn("ended before all was cleaned up")
	}
}

// pause keeps a failing accept (no descriptors left) from spinning.
func (s *Server) pause() {
	select {
	case <-s.stop:
	case <-time.After(100 * time.Millisecond):
	}
}

func (s *Server) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// Shutdown ends Serve; ErrFailedPrecondition while a container runs.
func (s *Server) Shutdown() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.procs {
		if !p.hasEnded() {
			return conflict("%s is running: the shim stays", p.key)
		}
	}
	if len(s.starting) > 0 {
		return conflict("a container is being started: the shim stays")
	}
	s.stopped.Do(func() { close(s.stop) })
	return nil
}

func conflict(format string, args ...any) error {
	return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(format, args...))
}

func notFound(k key) error {
	return errdefs.ErrNotFound.WithMessage("the shim has no running " + k.String())
}

// requestTimeout is how long a client may take to say what it wants.
const requestTimeout = 10 * time.Second

func (s *Server) serve(conn *net.UnixConn) {
	defer conn.Close()
	uid, err := unixsock.PeerUID(conn)
	if err != nil || uid != 0 && uid != uint32(os.Getuid()) {
		return // not for strangers
	}
	conn.SetDeadline(time.Now().Add(requestTimeout))
	var r shim.Request
	if err := shim.ReadFrame(conn, &r); err != nil {
		if errdefs.IsInvalidArgument(err) {
			respond(conn, nil, err)
		}
		return
	}
	conn.SetDeadline(time.Time{})
	if r.Version != shim.Version {
		respond(conn, nil, conflict("this shim speaks version %d, the engine version %d", shim.Version, r.Version))
		return
	}
	s.dispatch(context.Background(), conn, r)
}

func (s *Server) dispatch(ctx context.Context, conn *net.UnixConn, r shim.Request) {
	switch r.Method {
	case shim.MethodStart:
		launching{s}.answerStart(ctx, conn, r)
	case shim.MethodExec:
		answer(conn, r, func(q shim.ExecRequest) (any, error) { return launching{s}.exec(ctx, q) })
	case shim.MethodAttach:
		attaching{s}.attach(conn, r)
	case shim.MethodExits:
		s.exits(conn)
	case shim.MethodHold:
		holding{s}.hold(conn)
	case shim.MethodMounts:
		s.mounts(ctx, conn, r)
	case shim.MethodDeposit:
		s.deposit.serve(conn)
	case shim.MethodPing:
		respond(conn, nil, nil)
	case shim.MethodList:
		respond(conn, s.list(), nil)
	case shim.MethodShutdown:
		respond(conn, nil, s.Shutdown())
	default:
		answer(conn, r, func(t shim.Target) (any, error) { return nil, s.control(r.Method, t) })
	}
}

// answer decodes a request's body, calls f and responds; it reports whether f
// succeeded and the client was there to be told.
func answer[T any](conn *net.UnixConn, r shim.Request, f func(T) (any, error)) bool {
	q, err := decode[T](r)
	var body any
	if err == nil {
		body, err = f(q)
	}
	return respond(conn, body, err)
}
