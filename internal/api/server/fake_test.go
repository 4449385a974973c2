package server

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/engine"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/logs"
)

// patience bounds every wait; it decides no test that works.
const patience = 30 * time.Second

// fakeEngine has the parts that a test gives it; calling another one panics.
type fakeEngine struct {
	Engine
	create  func(engine.CreateOptions) (string, []string, error)
	do      func(verb, ref string) error
	attach  func(engine.AttachOptions) (*engine.Attached, error)
	start   func(engine.ExecStartOptions) (*engine.Attached, error)
	exec    container.ExecInspectResponse
	logs    func(context.Context, engine.LogsOptions, func(logs.Message) error) error
	tty     bool
	wait    chan container.WaitResponse
	events  func(context.Context, func(events.Message) error) error
	inspect container.InspectResponse
}

func (f *fakeEngine) Create(_ context.Context, o engine.CreateOptions) (string, []string, error) {
	return f.create(o)
}
func (f *fakeEngine) List(context.Context, engine.ListOptions) ([]container.Summary, error) {
	return nil, f.do("list", "")
}
func (f *fakeEngine) Inspect(_ context.Context, ref string, _ bool) (container.InspectResponse, error) {
	return f.inspect, f.do("inspect", ref)
}
func (f *fakeEngine) Start(_ context.Context, ref string) error { return f.do("start", ref) }
func (f *fakeEngine) Stop(_ context.Context, ref, _ string, _ *int) error {
	return f.do("stop", ref)
}
func (f *fakeEngine) Remove(_ context.Context, ref string, _ engine.RemoveOptions) error {
	return f.do("remove", ref)
}
func (f *fakeEngine) Attach(_ context.Context, _ string, o engine.AttachOptions) (*engine.Attached, error) {
	return f.attach(o)
}
func (f *fakeEngine) ExecInspect(context.Context, string) (container.ExecInspectResponse, error) {
	return f.exec, nil
}
func (f *fakeEngine) ExecStart(_ context.Context, _ string, o engine.ExecStartOptions) (*engine.Attached, error) {
	return f.start(o)
}
func (f *fakeEngine) LogsTTY(string) (bool, error) { return f.tty, nil }
func (f *fakeEngine) Logs(ctx context.Context, _ string, o engine.LogsOptions, yield func(logs.Message) error) error {
	return f.logs(ctx, o, yield)
}
func (f *fakeEngine) Wait(context.Context, string, container.WaitCondition) (<-chan container.WaitResponse, error) {
	return f.wait, nil
}
func (f *fakeEngine) Events(ctx context.Context, _ engine.EventsOptions, yield func(events.Message) error) error {
	return f.events(ctx, yield)
}
func (f *fakeEngine) ImageEvent(events.Action, string, string) {}

type fakeImages struct {
	Images
	all  []image.Image
	pull func(tell image.Progress) error
}

func (f *fakeImages) Get(_ context.Context, ref string) (image.Image, error) {
	return f.all[0], nil
}
func (f *fakeImages) List(context.Context) ([]image.Image, error) { return f.all, nil }
func (f *fakeImages) Pull(_ context.Context, _, _ string, _ image.Credentials, tell image.Progress) (image.Image, error) {
	if err := f.pull(tell); err != nil {
		return image.Image{}, err
	}
	return f.all[0], nil
}

// serve runs a server on a unix socket and returns the socket's path.
func serve(t *testing.T, e Engine, i Images) (*Server, string) {
	t.Helper()
	s := New(Options{Engine: e, Images: i, Version: "1.2.3", Log: slog.New(slog.DiscardHandler)})
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error("shutdown:", err)
		}
		serving.Wait()
	})
	return s, path
}

func dial(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.UnixConn)
}

// call sends a request by hand and returns the answer's head.
func call(t *testing.T, conn net.Conn, lines ...string) (*http.Response, *bufio.Reader) {
	t.Helper()
	head, body, _ := strings.Cut(strings.Join(lines, "\r\n"), "\r\n\r\n")
	if _, err := io.WriteString(conn, head+"\r\nHost: berth\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp, r
}
