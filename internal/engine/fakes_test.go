package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	mobynet "github.com/moby/moby/api/types/network"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/berth-containers/berth/internal/engine/lives"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/network"
	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/spec"
)

// world is what lies outside the engine; it survives an engine. Its text shows
// what exists there.
type world struct {
	mu        sync.Mutex
	fail      map[string]error // step → what it returns
	processes map[string]*shim.Status
	ignoring  map[string]bool // containers that ignore SIGTERM
	watchers  map[chan shim.Exit]bool
	dead      chan struct{} // closed when the shim dies
	respawns  int
	endpoints map[string]container.Endpoint
	networks  []mobynet.Network
	client    network.Client // of the last Connect
	rootfs    map[string]bool
	nextPid   int
	execs     map[string]string
	onStart   func(id string) // runs in Start, after the process exists
}

func newWorld() *world {
	return &world{fail: map[string]error{}, processes: map[string]*shim.Status{}, ignoring: map[string]bool{},
		watchers: map[chan shim.Exit]bool{}, dead: make(chan struct{}), endpoints: map[string]container.Endpoint{},
		rootfs: map[string]bool{}, nextPid: 100, execs: map[string]string{}}
}

// String is one line for each thing, IDs as the names that label gives them.
func (w *world) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for _, p := range w.processes {
		line := "process"
		if p.Paused {
			line += " paused"
		}
		if p.Exit != nil {
			line += fmt.Sprintf(" exited %d", p.Exit.Code)
		}
		lines = append(lines, line)
	}
	for range w.endpoints {
		lines = append(lines, "endpoint")
	}
	for range w.rootfs {
		lines = append(lines, "rootfs")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (w *world) step(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fail[name]
}

func (w *world) setFail(name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail[name] = err
}

func (w *world) Start(_ context.Context, r shim.StartRequest) (shim.StartResponse, error) {
	if err := w.step("shim.Start"); err != nil {
		return shim.StartResponse{}, err
	}
	w.mu.Lock()
	w.nextPid++
	s := &shim.Status{ID: r.ID, Pid: w.nextPid, StartedAt: time.Now()}
	w.processes[r.ID] = s
	answer := shim.StartResponse{Pid: s.Pid, StartedAt: s.StartedAt}
	hook, lost := w.onStart, w.fail["shim.Start's answer"]
	w.mu.Unlock()
	if lost != nil {
		return shim.StartResponse{}, lost
	}
	if hook != nil {
		hook(r.ID)
	}
	return answer, nil
}

// exit ends a container's process.
func (w *world) exit(id string, code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.processes[id]
	if s == nil || s.Exit != nil {
		return
	}
	s.Exit = &shim.Exit{ID: id, Pid: s.Pid, Code: code, At: time.Now()}
	for c := range w.watchers {
		c <- *s.Exit
	}
}

func (w *world) execExit(id, execID string, code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.watchers {
		c <- shim.Exit{ID: id, ExecID: execID, Code: code, At: time.Now()}
	}
}

func (w *world) Signal(_ context.Context, id, _ string, sig syscall.Signal) error {
	if err := w.once("shim.Signal"); err != nil {
		return err
	}
	w.mu.Lock()
	s, ignore := w.processes[id], w.ignoring[id]
	gone := s == nil || s.Exit != nil
	w.mu.Unlock()
	if gone {
		return errdefs.ErrNotFound
	}
	if sig == syscall.SIGKILL || sig == syscall.SIGTERM && !ignore {
		w.exit(id, 128+int(sig))
	}
	return nil
}

func (w *world) setPaused(id string, paused bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.processes[id]; s != nil {
		s.Paused = paused
	}
	return nil
}

func (w *world) Pause(_ context.Context, id string) error  { return w.setPaused(id, true) }
func (w *world) Resume(_ context.Context, id string) error { return w.setPaused(id, false) }

func (w *world) Release(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.processes, id)
	return nil
}

func (w *world) Exec(_ context.Context, r shim.ExecRequest) (int, error) {
	if err := w.step("shim.Exec"); err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.execs[r.ExecID] = strings.Join(r.Process.Args, " ") + " as " + r.Process.User.Username + " in " + r.Process.Cwd
	return 7, nil
}

type fakeStream struct{ io.Reader }

func (fakeStream) Write(p []byte) (int, error) { return len(p), nil }
func (fakeStream) CloseWrite() error           { return nil }
func (fakeStream) Close() error                { return nil }

func (w *world) Attach(context.Context, shim.AttachRequest) (Stream, error) {
	return fakeStream{strings.NewReader("output")}, w.step("shim.Attach")
}

func (w *world) Resize(context.Context, string, string, uint16, uint16) error { return nil }

func (w *world) List(context.Context) ([]shim.Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []shim.Status
	for _, s := range w.processes {
		all = append(all, *s)
	}
	return all, nil
}

func (w *world) Exits(ctx context.Context, f func(shim.Exit)) error {
	c := make(chan shim.Exit, 100)
	w.mu.Lock()
	for _, s := range w.processes {
		if s.Exit != nil {
			c <- *s.Exit
		}
	}
	w.watchers[c] = true
	dead := w.dead
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.watchers, c)
	}()
	for {
		select {
		case e := <-c:
			f(e)
		case <-dead:
			return errdefs.ErrUnavailable
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *world) Hold(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (w *world) Respawn(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.respawns++
	if lives.Closed(w.dead) {
		w.dead = make(chan struct{})
	}
	return w.fail["shim.Respawn"]
}

// killShim ends the shim; lost are the containers that the next one does not know.
func (w *world) killShim(lost ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range lost {
		delete(w.processes, id)
	}
	close(w.dead)
}

type fakeImages struct{ *world }

func testImage() image.Image {
	return image.Image{ID: digest.FromString("busybox"), Bytes: 1000, Config: &api.Config{Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}}}
}

func (fakeImages) Get(_ context.Context, ref string) (image.Image, error) {
	if ref != "busybox" && ref != testImage().ID.String() {
		return image.Image{}, errdefs.ErrNotFound.WithMessage("No such image: " + ref)
	}
	return testImage(), nil
}

func (fakeImages) List(context.Context) ([]image.Image, error) {
	return []image.Image{testImage()}, nil
}

func (fakeImages) Remove(_ context.Context, _ string, _ bool, inUse func(digest.Digest) string) ([]image.Removed, error) {
	if by := inUse(testImage().ID); by != "" {
		return nil, errdefs.ErrConflict.WithMessage("in use by " + by)
	}
	return []image.Removed{{Untagged: "busybox:latest"}}, nil
}

type fakeRootfs struct{ *world }

func (f fakeRootfs) PrepareRootfs(_ context.Context, _ image.Image, key string) (oci.Rootfs, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rootfs[key] = true
	return oci.Rootfs{}, f.fail["rootfs.Prepare"] // after its effect: the undo must take it back
}

func (f fakeRootfs) Rootfs(_ context.Context, key string) (oci.Rootfs, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.rootfs[key] {
		return oci.Rootfs{}, errdefs.ErrNotFound
	}
	return oci.Rootfs{Upper: "/upper"}, f.fail["rootfs.Rootfs"]
}

func (f fakeRootfs) RemoveRootfs(_ context.Context, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.rootfs, key)
	return nil
}

func (f fakeRootfs) SweepRootfs(_ context.Context, keep func(string) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.rootfs, func(key string, _ bool) bool { return !keep(key) })
	return nil
}

func (w *world) buildSpec(in spec.Input) (spec.Output, error) {
	p := &specs.Process{Args: slices.Concat(in.Record.Config.Entrypoint, in.Record.Config.Cmd), Env: in.Record.Config.Env, Cwd: "/"}
	return spec.Output{Spec: &specs.Spec{Process: p}}, w.step("spec.Build")
}

// bench is an engine in its world.
type bench struct {
	*Engine
	*testing.T
	w          *world
	root, exec string
	parent     string // of cgroups
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, w: newWorld(), root: t.TempDir(), exec: t.TempDir()}
	b.open()
	t.Cleanup(b.shut)
	return b
}

func (b *bench) open() {
	b.Helper()
	var err error
	b.Engine, err = New(b.Context(), Config{DataRoot: b.root, ExecRoot: b.exec, CgroupParent: b.parent, Version: "test",
		Registries: registries.Table{Hosts: map[string]registries.Entry{"r:5000": {Insecure: true}}}},
		Deps{Shim: b.w, Networks: fakeNetworks{b.w}, Images: fakeImages{b.w}, Rootfs: fakeRootfs{b.w}, Spec: b.w.buildSpec}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) shut() {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		b.Fatal(err)
	}
}

// reopen is a restart of the engine; between does what happens meanwhile.
func (b *bench) reopen(between func()) {
	b.Helper()
	b.shut()
	if between != nil {
		between()
	}
	b.open()
}

type mod func(*CreateOptions)

func named(name string) mod { return func(o *CreateOptions) { o.Name = name } }

func policy(name api.RestartPolicyMode) mod {
	return func(o *CreateOptions) { o.HostConfig.RestartPolicy.Name = name }
}

func autoRemove(o *CreateOptions) { o.HostConfig.AutoRemove = true }

func (b *bench) create(mods ...mod) string {
	b.Helper()
	id, err := b.tryCreate(mods...)
	if err != nil {
		b.Fatal(err)
	}
	return id
}

func (b *bench) tryCreate(mods ...mod) (string, error) {
	o := CreateOptions{Config: &api.Config{Image: "busybox"}, HostConfig: &api.HostConfig{}}
	for _, m := range mods {
		m(&o)
	}
	id, _, err := b.Create(b.Context(), o)
	return id, err
}

func (b *bench) run(mods ...mod) string {
	b.Helper()
	id := b.create(mods...)
	if err := b.Start(b.Context(), id); err != nil {
		b.Fatal(err)
	}
	return id
}

// await waits for the answer of a Wait.
func (b *bench) await(id string, condition api.WaitCondition) api.WaitResponse {
	b.Helper()
	c, err := b.Wait(b.Context(), id, condition)
	if err != nil {
		b.Fatal(err)
	}
	return b.answer(c)
}

func (b *bench) answer(c <-chan api.WaitResponse) api.WaitResponse {
	b.Helper()
	select {
	case a := <-c:
		return a
	case <-time.After(20 * time.Second):
		b.Fatal("no answer")
	}
	return api.WaitResponse{}
}

func (b *bench) record(ref string) *container.Record {
	b.Helper()
	r, err := b.verbs.records.Find(ref)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// until waits for a condition of the world that no channel tells.
func (b *bench) until(what string, ok func() bool) {
	b.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("never: %s; the world:\n%s", what, b.w)
		}
	}
}

func (b *bench) status(ref string) container.Status { return b.record(ref).State.Status }

func (b *bench) want(text string) {
	b.Helper()
	b.until("the world is "+text, func() bool { return b.w.String() == text })
}

// nothing waits until no file of a container is left: --rm is told before they go.
func (b *bench) nothing() {
	b.Helper()
	b.want("")
	for _, dir := range []string{filepath.Join(b.root, "containers"), filepath.Join(b.root, "volumes")} {
		b.until(dir+" is empty", func() bool { entries, err := os.ReadDir(dir); return err == nil && len(entries) == 0 })
	}
}

func wantError(t *testing.T, err error, is func(error) bool, text string) {
	t.Helper()
	if err == nil || !is(err) || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v; want %s", err, text)
	}
}

var errBroken = errors.New("broken")
