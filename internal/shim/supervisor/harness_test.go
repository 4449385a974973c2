package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/sys/pidfd"
)

// wait bounds every wait of these tests; it is only reached by a failure.
const wait = 60 * time.Second

const serveEnv = "BERTH_TEST_SHIM_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(serveEnv); root != "" {
		s, err := New(root, newFake(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
		if err == nil {
			err = s.Serve()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fake runs plain processes in place of containers.
type fake struct {
	mu      sync.Mutex
	removed []string
	frozen  map[string]bool
	oom     bool
}

func newFake() *fake { return &fake{frozen: map[string]bool{}} }

func (f *fake) Create(_ context.Context, o Container) (Created, error) {
	if o.Spec.Process.Args[0] == "no-create" {
		return Created{}, errors.New("no such rootfs")
	}
	r, w, err := os.Pipe()
	if err != nil {
		return Created{}, err
	}
	defer r.Close()
	made, err := f.fork(o.Stdio, o.Spec.Process, r)
	made.CgroupPath = "/fake/" + o.ID
	made.Abort = func() error {
		err := w.Close() // the end of its gate ends it
		var status syscall.WaitStatus
		_, waitErr := syscall.Wait4(made.Pid, &status, 0, nil)
		return errors.Join(err, waitErr, made.Pidfd.Close())
	}
	made.Start = func() ([]string, error) {
		defer w.Close()
		if _, err := exec.LookPath(o.Spec.Process.Args[0]); err != nil {
			// As the runtime does, it leaves nothing: also no zombie.
			w.Close()
			var status syscall.WaitStatus
			syscall.Wait4(made.Pid, &status, 0, nil)
			return nil, errors.Join(errors.New("exec: executable file not found in $PATH"), made.Pidfd.Close())
		}
		_, err := w.Write([]byte("go\n"))
		return nil, err
	}
	return made, err
}

func (f *fake) Exec(_ context.Context, o Exec) (Created, error) {
	return f.fork(o.Stdio, o.Process, nil)
}

func (f *fake) fork(stdio [3]*os.File, p *specs.Process, gate *os.File) (Created, error) {
	var console *os.File
	attr := syscall.SysProcAttr{Setsid: true}
	if p.Terminal {
		master, slave, err := pty.Open()
		if err != nil {
			return Created{}, err
		}
		defer slave.Close()
		console, stdio = master, [3]*os.File{slave, slave, slave}
		attr.Setctty = true
	}
	args := p.Args
	files := []uintptr{stdio[0].Fd(), stdio[1].Fd(), stdio[2].Fd()}
	if gate != nil {
		args = append([]string{"sh", "-c", `read go <&3 || exit 111; exec 3<&-; exec "$@"`, "sh"}, args...)
		files = append(files, gate.Fd())
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return Created{}, err
	}
	pid, err := syscall.ForkExec(path, args, &syscall.ProcAttr{Env: os.Environ(), Files: files, Sys: &attr})
	if err != nil {
		return Created{}, err
	}
	handle, err := pidfd.Open(pid)
	return Created{Pid: pid, Pidfd: handle, Console: console}, err
}

func (f *fake) RemoveCgroup(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed = append(f.removed, path)
	return nil
}

func (f *fake) OOMKilled(string) (bool, error) { return f.oom, nil }

func (f *fake) Freeze(path string, frozen bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen[path] = frozen
	return nil
}

// bench is a shim under test, in this process.
type bench struct {
	*shim.Client
	t    *testing.T
	root string
	fake *fake
	ctx  context.Context
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, root: t.TempDir(), fake: newFake(), ctx: deadline(t)}
	s, err := New(b.root, b.fake, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	b.Client = dial(t, b.ctx, b.root)
	t.Cleanup(func() {
		killAll(b.Client)
		if err := b.Client.Shutdown(context.Background()); err != nil {
			t.Error("shutdown:", err)
			return
		}
		if err := <-served; err != nil {
			t.Error("serve:", err)
		}
	})
	return b
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	t.Cleanup(cancel)
	return ctx
}

// dial waits until a shim answers.
func dial(t *testing.T, ctx context.Context, root string) *shim.Client {
	t.Helper()
	for {
		c, err := shim.Dial(ctx, shim.Socket(root))
		if err == nil {
			t.Cleanup(func() { c.Close() })
			return c
		}
		if ctx.Err() != nil {
			t.Fatal("no shim answers:", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// killAll ends what still runs, and waits for it.
func killAll(c *shim.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	list, _ := c.List(ctx)
	left := map[string]bool{}
	for _, st := range list {
		if st.Exit == nil {
			left[st.ID] = true
			c.Signal(ctx, st.ID, "", syscall.SIGKILL)
		}
	}
	if len(left) > 0 {
		c.Exits(ctx, func(e shim.Exit) {
			if e.ExecID == "" {
				delete(left, e.ID)
			}
			if len(left) == 0 {
				cancel()
			}
		})
	}
}

func (b *bench) request(id string, args ...string) shim.StartRequest {
	dir := filepath.Join(b.root, "log-"+id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	return shim.StartRequest{
		ID: id, Spec: &specs.Spec{
			Process: &specs.Process{Args: args},
			Linux:   &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}}},
		},
		Log: shim.LogConfig{Driver: logs.DriverRing, Dir: dir},
	}
}

func (b *bench) start(r shim.StartRequest) {
	b.t.Helper()
	if _, err := b.Start(b.ctx, r); err != nil {
		b.t.Fatal("start:", err)
	}
}

func (b *bench) attach(r shim.AttachRequest) *shim.Stream {
	b.t.Helper()
	s, err := b.Attach(b.ctx, r)
	if err != nil {
		b.t.Fatal("attach:", err)
	}
	b.t.Cleanup(func() { s.Close() })
	return s
}

// connect returns a connection for a client of other manners than ours.
func (b *bench) connect() *net.UnixConn {
	b.t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: shim.Socket(b.root), Net: "unix"})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	return conn
}

func (b *bench) send(conn *net.UnixConn, m shim.Method, body any) {
	b.t.Helper()
	encoded, err := json.Marshal(body)
	if err == nil {
		err = shim.WriteFrame(conn, shim.Request{Version: shim.Version, Method: m, Body: encoded})
	}
	if err != nil {
		b.t.Fatal("send:", err)
	}
}

// exit waits for the exit of a process.
func (b *bench) exit(id, execID string) shim.Exit {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var exit shim.Exit
	b.Exits(ctx, func(e shim.Exit) {
		if e.ID == id && e.ExecID == execID {
			exit = e
			cancel()
		}
	})
	if exit.ID == "" {
		b.t.Fatalf("no exit of %s %s came", id, execID)
	}
	return exit
}

// logged returns what the log of a container has.
func (b *bench) logged(c shim.LogConfig) string {
	b.t.Helper()
	var out []byte
	err := logs.Read(b.ctx, logConfig(c), logs.ReadOptions{Tail: -1, Stdout: true, Stderr: true}, func(m logs.Message) error {
		out = append(out, m.Line...)
		return nil
	})
	if err != nil {
		b.t.Fatal("read log:", err)
	}
	return string(out)
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal("read stream:", err)
	}
	return string(b)
}

func frame(stream byte, text string) string {
	n := len(text)
	return string([]byte{stream, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + text
}
