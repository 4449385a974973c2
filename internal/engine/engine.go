package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/berth-containers/berth/internal/engine/execs"
	"github.com/berth-containers/berth/internal/engine/lives"
	"github.com/berth-containers/berth/internal/engine/logging"
	"github.com/berth-containers/berth/internal/engine/records"
	"github.com/berth-containers/berth/internal/engine/storage"
	"github.com/berth-containers/berth/internal/events"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/spec"
	"github.com/berth-containers/berth/internal/sys/userns"
)

// Config is fixed when the engine starts.
type Config struct {
	DataRoot     string // durable: records, containers' files, volumes
	ExecRoot     string // of this boot: shared memory
	CgroupParent string // for example /berth
	InitBinary   string // PID 1 of containers with --init
	CgroupV2     bool
	Users        userns.Map // of containers' user namespaces; zero: they have none
	AppArmor     bool       // the host enforces it
	CDIDirs      []string   // of the files that describe devices; shown by Info
	Version      string
	Registries   registries.Table // shown by Info
	Log          logging.Default  // of containers that ask for none
	Labels       []string         // of the engine, shown by Info
}

// Processes is how the engine runs containers.
type Processes interface {
	Start(ctx context.Context, r shim.StartRequest) (shim.StartResponse, error)
	Signal(ctx context.Context, id, execID string, sig syscall.Signal) error
	Pause(ctx context.Context, id string) error
	Resume(ctx context.Context, id string) error
	Release(ctx context.Context, id string) error
}

// Stdio is how the engine reaches what containers read and write.
type Stdio interface {
	Exec(ctx context.Context, r shim.ExecRequest) (pid int, err error)
	Attach(ctx context.Context, r shim.AttachRequest) (Stream, error)
	Resize(ctx context.Context, id, execID string, width, height uint16) error
}

// Watch is how the engine learns what became of containers. Exits and Hold end
// when the shim dies; Respawn returns when one listens again.
type Watch interface {
	List(ctx context.Context) ([]shim.Status, error)
	Exits(ctx context.Context, f func(shim.Exit)) error
	Hold(ctx context.Context) error
	Respawn(ctx context.Context) error
}

// Mounts reaches what containers see as files.
type Mounts interface {
	Mounts(ctx context.Context, r shim.MountsRequest) (*os.File, error)
}

// Supervisor is the shim as the engine needs it.
type Supervisor interface {
	Processes
	Stdio
	Watch
	Mounts
}

// Networks gives containers their places.
type Networks interface {
	Sandboxes
	Definitions
	Facts
}

// Images finds what containers are made from.
type Images interface {
	Get(ctx context.Context, ref string) (image.Image, error)
	List(ctx context.Context) ([]image.Image, error)
	Remove(ctx context.Context, ref string, force bool, inUse func(digest.Digest) (container string)) ([]image.Removed, error)
	Commit(ctx context.Context, c image.Commit, layer func(io.Writer) error) (digest.Digest, error)
}

// Rootfs makes containers' root filesystems.
type Rootfs interface {
	PrepareRootfs(ctx context.Context, img image.Image, key string) (oci.Rootfs, error)
	Rootfs(ctx context.Context, key string) (oci.Rootfs, error)
	RemoveRootfs(ctx context.Context, key string) error
	SweepRootfs(ctx context.Context, keep func(key string) bool) error
}

// Deps are the parts the engine directs.
type Deps struct {
	Shim     Supervisor
	Networks Networks
	Images   Images
	Rootfs   Rootfs
	Spec     func(spec.Input) (spec.Output, error)
}

// Engine carries out the verbs; it is safe for concurrent use.
type Engine struct {
	verbs   // create … remove
	streams // attach, logs, wait, exec
	queries // list, inspect, top, info
	objects // images, events
	wiring  // networks
	storage.Volumes
	pruning // what nobody uses
	filing  // containers' files
}

// core is what all verbs share.
type core struct {
	places
	announcer
	lives   *lives.Table
	deps    Deps
	log     *slog.Logger
	records *records.Store
	storage *storage.Store
	execs   *execs.Table
	started time.Time
	starts  slots // taken with the container's turn in hand, never before it

	halted     atomic.Bool // the host stops: nothing is restarted
	closing    chan struct{}
	closeOnce  sync.Once
	background sync.WaitGroup
}

// places are where a container's files lie.
type places struct{ cfg Config }

// announcer tells what happens, and by what IDs.
type announcer struct {
	root   string
	events *events.Bus
}

// New opens the data root, compares its records with the shim and the kernel,
// repairs what a crash left, and starts what restart policies ask for. ctx
// bounds only the start.
func New(ctx context.Context, cfg Config, deps Deps, log *slog.Logger) (_ *Engine, err error) {
	lock, err := records.Lock(cfg.DataRoot)
	if err != nil {
		return nil, err
	}
	c := &core{places: places{cfg}, announcer: announcer{cfg.DataRoot, events.New()}, lives: lives.NewTable(), deps: deps, log: log,
		execs: execs.NewTable(), started: time.Now(), starts: make(slots, mostStarts), closing: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close(ctx), lock.Close())
		}
	}()
	if err := os.MkdirAll(filepath.Join(cfg.DataRoot, "containers"), 0o711); err != nil {
		return nil, fmt.Errorf("make the containers' directory: %w", err)
	}
	if c.records, err = records.Open(filepath.Join(cfg.DataRoot, "engine.db"), log); err != nil {
		return nil, err
	}
	c.storage, err = storage.Open(storage.Options{DataRoot: cfg.DataRoot, ShmRoot: filepath.Join(cfg.ExecRoot, "shm"), Images: deps.Images, Layers: deps.Rootfs,
		Tell: c.tellVolume, Log: log})
	if err != nil {
		return nil, err
	}
	e := &Engine{verbs{c}, streams{c}, queries{c}, objects{core: c, lock: lock}, wiring{c}, storage.Volumes{Store: c.storage}, pruning{c}, filing{c}}
	if err := (recovery{c}).run(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// Shutdown ends the engine's own work; containers run on.
func (o objects) Shutdown(ctx context.Context) error {
	return errors.Join(o.close(ctx), o.lock.Close())
}

func (c *core) close(ctx context.Context) error {
	c.closeOnce.Do(func() { close(c.closing) })
	c.lives.CancelRetries()
	done := make(chan struct{})
	go func() {
		c.background.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("wait for the engine's work: %w", ctx.Err())
	}
	if c.records == nil {
		return nil
	}
	return c.records.Close()
}

// working returns a context for work that no caller waits for: it ends with the
// engine or after the time limit.
func (c *core) working(limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	go func() {
		select {
		case <-c.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// cleanup is how long putting things away may take.
const cleanup = 30 * time.Second

func (c *places) dir(id string) string    { return filepath.Join(c.cfg.DataRoot, "containers", id) }
func (c *places) logDir(id string) string { return filepath.Join(c.dir(id), "logs") }
