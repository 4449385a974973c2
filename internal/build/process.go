package build

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/berth-containers/berth/internal/build/calls"
	"github.com/berth-containers/berth/internal/build/storage"
	"github.com/berth-containers/berth/internal/sys/cgroup"
)

// process is a builder that runs.
type process struct {
	socket string // answers HTTP
	cmd    *exec.Cmd
	server *grpc.Server
	done   chan struct{} // it was waited for
	mu     sync.Mutex
	nets   map[string]bool // what it has of the network
}

func (p *process) gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// start starts the builder. It listens at once, on a socket that is made here.
func (b *Builder) start(ctx context.Context) (*process, error) {
	if b.cfg.Binary == "" {
		return nil, errdefs.ErrUnavailable.WithMessage("this engine cannot build: berth-build is neither beside berthd nor in PATH; install it there")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := b.sweep(); err != nil {
		return nil, err
	}
	for _, dir := range []string{b.cfg.Setup.Root, b.cfg.Setup.State} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make a directory of the builder: %w", err)
		}
	}
	p := &process{socket: filepath.Join(b.cfg.Setup.State, "build.sock"), done: make(chan struct{}), nets: map[string]bool{}}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for the builder: %w", err)
	}
	defer listener.Close()
	listener.SetUnlinkOnClose(false)
	if err := os.Chmod(p.socket, 0o600); err != nil {
		return nil, err
	}
	inherited, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer inherited.Close()
	ours, theirs, err := pair()
	if err != nil {
		return nil, fmt.Errorf("start the builder: %w", err)
	}
	defer theirs.Close()
	p.cmd = exec.Command(b.cfg.Binary, b.cfg.Setup.State)
	p.cmd.Dir = "/"
	// What it makes for the moment goes with the directory of its state.
	p.cmd.Env = append(environment(), "TMPDIR="+b.cfg.Setup.State)
	p.cmd.Stderr = os.Stderr
	p.cmd.ExtraFiles = []*os.File{inherited, theirs}
	// What it mounts is gone with it, however it ends.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Unshareflags: syscall.CLONE_NEWNS}
	if err := p.cmd.Start(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("start the builder %s: %w", b.cfg.Binary, err)
	}
	p.server = b.serve(p)
	go b.attend(p, ours)
	b.log.Info("the builder runs", "pid", p.cmd.Process.Pid)
	return p, nil
}

// pair returns two ends of one connection.
func pair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	mine := os.NewFile(uintptr(fds[0]), "builder")
	defer mine.Close()
	theirs = os.NewFile(uintptr(fds[1]), "engine")
	if ours, err = net.FileConn(mine); err != nil {
		theirs.Close()
	}
	return ours, theirs, err
}

// environment is what a builder may need of the engine's: proxies, and where
// git is.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch strings.ToUpper(name) {
		case "PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR":
			env = append(env, e)
		}
	}
	return env
}

// attend answers the builder until it is gone, and takes away what it had.
func (b *Builder) attend(p *process, conn net.Conn) {
	var serving sync.WaitGroup
	serving.Go(func() { _ = p.server.Serve(&single{conn: conn, closed: make(chan struct{})}) })
	err := p.cmd.Wait()
	p.server.Stop()
	serving.Wait()
	conn.Close() // of a builder that ended before it was served
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	p.mu.Lock()
	nets := p.nets
	p.nets = nil
	p.mu.Unlock()
	err = errors.Join(err, cgroup.Open(b.cfg.Setup.CgroupParent).Remove(ctx))
	for id := range nets {
		err = errors.Join(err, b.deps.Networks.Release(ctx, id))
	}
	if err != nil {
		b.log.Warn("the builder ended", "error", err)
	}
	b.deps.Images.Depot().CollectLater()
	// What serving it took goes back to the system.
	debug.FreeOSMemory()
	close(p.done)
}

// end asks a builder to end, and insists.
func (b *Builder) end(p *process) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return
	case <-time.After(stopTime):
	}
	b.log.Warn("the builder does not end; it is killed")
	_ = p.cmd.Process.Kill()
	<-p.done
}

// serve is what the engine answers a builder.
func (b *Builder) serve(p *process) *grpc.Server {
	s := grpc.NewServer(grpc.MaxRecvMsgSize(calls.MessageBytes), grpc.MaxSendMsgSize(calls.MessageBytes))
	storage.Serve(s, b.deps.Images.Depot())
	calls.Serve(s, map[string]calls.Handler{
		calls.Hello: calls.Answer(func(context.Context, struct{}) (calls.Setup, error) { return b.cfg.Setup, nil }),
		calls.Enter: calls.Answer(b.enter),
		calls.Images: calls.Answer(func(context.Context, struct{}) ([]images.Image, error) {
			return b.deps.Images.Records(), nil
		}),
		calls.FindImage: calls.Answer(func(_ context.Context, name string) (images.Image, error) {
			return b.deps.Images.FindRecord(name)
		}),
		calls.TakeNetwork: calls.Answer(func(ctx context.Context, id string) (calls.Network, error) { return b.takeNetwork(ctx, p, id) }),
		calls.ReleaseNetwork: calls.Answer(func(ctx context.Context, id string) (struct{}, error) {
			return struct{}{}, b.releaseNetwork(ctx, p, id)
		}),
	})
	return s
}

func (b *Builder) enter(ctx context.Context, m calls.Made) (calls.Entered, error) {
	id, err := b.deps.Images.Enter(ctx, m)
	if err != nil {
		return calls.Entered{}, err
	}
	for _, name := range m.Names {
		b.deps.Tell(id, name)
	}
	return calls.Entered{ID: id.String()}, nil
}

func (b *Builder) takeNetwork(ctx context.Context, p *process, id string) (calls.Network, error) {
	n, err := b.deps.Networks.Take(ctx, id)
	if err != nil {
		return calls.Network{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.nets == nil {
		return calls.Network{}, errors.Join(errdefs.ErrUnavailable, b.deps.Networks.Release(ctx, id))
	}
	p.nets[id] = true
	return n, nil
}

func (b *Builder) releaseNetwork(ctx context.Context, p *process, id string) error {
	p.mu.Lock()
	delete(p.nets, id)
	p.mu.Unlock()
	return b.deps.Networks.Release(ctx, id)
}

// single is a listener for the one connection that there is.
type single struct {
	conn   net.Conn
	given  bool
	once   sync.Once
	closed chan struct{}
}

func (s *single) Accept() (net.Conn, error) {
	if !s.given {
		s.given = true
		return s.conn, nil
	}
	<-s.closed
	return nil, net.ErrClosed
}

func (s *single) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *single) Addr() net.Addr { return s.conn.LocalAddr() }
