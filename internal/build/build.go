// Package build is the engine's side of the builder, a process of its own:
// berth-build. It starts it at the first request that needs it, forwards
// requests to it, answers what it asks of the store and the network, and ends it
// when it was idle for a while. See docs/design/build.md.
//
// A builder that dies fails the requests that it had and nothing else; the next
// request starts another. With the engine ends its builder, which has a mount
// namespace of its own. What a crash of both leaves are cgroups, and endpoints
// that are in no record: Open and the network's Restore take them away; layers
// and blobs of a build under way belong to leases that the next builder drops.
package build

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/berth-containers/berth/internal/build/calls"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/filelock"
)

// Config describes the builder of one engine.
type Config struct {
	Binary             string // berth-build; "" if it is not installed
	DataRoot, ExecRoot string
	Idle               time.Duration // how long it may be without work; 0 is 30 s
	Setup              calls.Setup   // its directories and names are filled in
}

// Images is the store whose depot the builder shares.
type Images interface {
	Depot() depot.Shared
	Enter(ctx context.Context, m image.Made) (digest.Digest, error)
	Records() []images.Image
	FindRecord(long string) (images.Image, error)
}

// Networks gives the steps of builds their network.
type Networks interface {
	Take(ctx context.Context, id string) (calls.Network, error)
	Release(ctx context.Context, id string) error
}

// Deps are what a builder stands on.
type Deps struct {
	Images   Images
	Networks Networks
	Tell     func(id digest.Digest, name string) // an image was built
}

const (
	idleTime = 30 * time.Second
	stopTime = 10 * time.Second
	lockTime = 10 * time.Second
	patience = 3 * time.Second // within lockTime
)

// Builder starts and stops the process.
type Builder struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	turn    sync.Mutex // of starting and stopping
	mu      sync.Mutex
	process *process // nil if none runs
	uses    int
	idle    *time.Timer
	closed  bool
}

// Open takes away what builders of a crash left. It starts none.
func Open(cfg Config, deps Deps, log *slog.Logger) (*Builder, error) {
	if cfg.Idle == 0 {
		cfg.Idle = idleTime
	}
	s := &cfg.Setup
	s.Root, s.State = filepath.Join(cfg.DataRoot, "build"), filepath.Join(cfg.ExecRoot, "build")
	s.Blobs, s.Namespace, s.Snapshotter = deps.Images.Depot().Layout, deps.Images.Depot().Namespace(), depot.Snapshotter
	s.CgroupParent = filepath.Join("/", s.CgroupParent, "build")
	b := &Builder{cfg: cfg, deps: deps, log: log}
	if _, err := os.Stat(s.State); errors.Is(err, os.ErrNotExist) {
		return b, nil
	}
	if err := b.sweep(); err != nil {
		return nil, fmt.Errorf("clean up after a builder: %w", err)
	}
	return b, nil
}

// sweep waits until a builder that lost its engine is gone and removes what it
// left.
func (b *Builder) sweep() error {
	ctx, cancel := context.WithTimeout(context.Background(), lockTime)
	defer cancel()
	if err := b.outlive(ctx); err != nil {
		return err
	}
	err := cgroup.Open(b.cfg.Setup.CgroupParent).Remove(ctx)
	return errors.Join(err, os.RemoveAll(b.cfg.Setup.State))
}

// outlive waits for the lock that a builder holds for as long as it lives, and
// kills one that does not notice that its engine is gone.
func (b *Builder) outlive(ctx context.Context) error {
	insist := time.NewTimer(patience)
	defer insist.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		f, err := filelock.Take(lockFile(b.cfg.Setup.State))
		if err == nil {
			return f.Close()
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		select {
		case <-insist.C:
			b.killHolder()
		case <-ctx.Done():
			return errdefs.ErrUnavailable.WithMessage("the builder of an engine before is still there: end the process that holds " + lockFile(b.cfg.Setup.State))
		case <-tick.C:
		}
	}
}

// killHolder kills who holds the lock: the lock says that it still is the one
// whose number it wrote there.
func (b *Builder) killHolder() {
	text, err := os.ReadFile(lockFile(b.cfg.Setup.State))
	pid, parseErr := strconv.Atoi(strings.TrimSpace(string(text)))
	if errors.Join(err, parseErr) == nil && pid > 1 {
		b.log.Warn("a builder without an engine is killed", "pid", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func lockFile(state string) string { return filepath.Join(state, "lock") }

// Used says if anything was ever built here.
func (b *Builder) Used() bool {
	_, err := os.Stat(b.cfg.Setup.Root)
	return err == nil
}

// acquire returns the process, started if need be, and keeps it from being
// ended for idleness until release.
func (b *Builder) acquire(ctx context.Context) (p *process, release func(), err error) {
	b.turn.Lock()
	defer b.turn.Unlock()
	b.mu.Lock()
	p, closed := b.process, b.closed
	b.mu.Unlock()
	if closed {
		return nil, nil, errdefs.ErrUnavailable.WithMessage("the engine shuts down")
	}
	if p == nil || p.gone() {
		if p, err = b.start(ctx); err != nil {
			return nil, nil, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.process = p
	b.uses++
	if b.idle != nil {
		b.idle.Stop()
	}
	return p, sync.OnceFunc(b.release), nil
}

func (b *Builder) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.uses--; b.uses == 0 && !b.closed {
		b.idle = time.AfterFunc(b.cfg.Idle, b.rest)
	}
}

// rest ends a builder without work.
func (b *Builder) rest() {
	b.turn.Lock()
	defer b.turn.Unlock()
	b.mu.Lock()
	p := b.process
	if b.uses > 0 || b.closed {
		p = nil
	} else {
		b.process = nil
	}
	b.mu.Unlock()
	if p != nil {
		b.end(p)
	}
}

// Close ends the builder and what it builds.
func (b *Builder) Close(context.Context) error {
	b.mu.Lock()
	b.closed = true
	if b.idle != nil {
		b.idle.Stop()
	}
	b.mu.Unlock()
	b.turn.Lock()
	defer b.turn.Unlock()
	if b.process != nil {
		b.end(b.process)
		b.process = nil
	}
	return nil
}
