package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/lives"
	"github.com/berth-containers/berth/internal/engine/restart"
	"github.com/berth-containers/berth/internal/engine/storage"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/sys/cgroup"
)

// recovery makes records, shim and kernel agree when the engine starts, and
// again after a shim's death.
type recovery struct{ *core }

func (c recovery) run(ctx context.Context) error {
	if err := c.deps.Shim.Respawn(ctx); err != nil {
		return fmt.Errorf("reach the shim: %w", err)
	}
	running, err := c.list(ctx)
	if err != nil {
		return err
	}
	all := c.records.All()
	for _, r := range all {
		c.lives.Add(r.ID)
		c.storage.Adopt(r)
	}
	over := c.adopt(all, running)
	c.storage.Tidy(func(id string) bool { r := c.records.Get(id); return r != nil && r.State.Status.Alive() },
		func(id string) bool { return c.records.Get(id) != nil })
	if err := c.deps.Networks.Restore(ctx, wiring(c).living(over)); err != nil {
		return fmt.Errorf("restore the network: %w", err)
	}
	c.dropStrays(ctx, running)
	c.sweep(ctx)
	// Before the watch tells of them again, and before anybody can ask.
	for _, e := range over {
		c.conclude(e)
	}
	c.watch()
	for _, r := range all { // as they were found: what has just ended is in hand
		c.resume(ctx, r)
	}
	return nil
}

func (c recovery) list(ctx context.Context) (map[string]shim.Status, error) {
	statuses, err := c.deps.Shim.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the shim's containers: %w", err)
	}
	byID := make(map[string]shim.Status, len(statuses))
	for _, s := range statuses {
		byID[s.ID] = s
	}
	return byID, nil
}

// over is a run that was recorded as going on and has ended.
type over struct {
	exit   shim.Exit
	cgroup string // to be removed: no shim does it
}

// adopt takes the runs over that go on in the shim, and returns those that
// ended in it or that it does not know.
func (c recovery) adopt(all []*container.Record, running map[string]shim.Status) []over {
	var list []over
	for _, r := range all {
		w := streams(c).knownHealth(r, c.lives.Get(r.ID))
		if !r.State.Status.Alive() {
			if w != nil {
				w.End()
			}
			continue
		}
		c.lives.Get(r.ID).SetRun(lives.Adopted())
		s, ok := running[r.ID]
		if !ok {
			why := "its shim was gone when the engine started; the host may have been restarted"
			list = append(list, over{unknown(r.ID, why), r.State.CgroupPath})
			continue
		}
		after := c.records.Update(r.ID, func(r *container.Record) { seen(r, s) })
		if s.Exit != nil && (s.Exit.Pid == 0 || s.Exit.Pid == after.State.Pid) {
			list = append(list, over{exit: *s.Exit})
			continue
		}
		streams(c).watchHealth(after, w, c.lives.Get(r.ID).Current())
	}
	return list
}

// conclude publishes the end of a run at once and puts it away in the background.
func (c recovery) conclude(o over) {
	l, before := c.lives.Get(o.exit.ID), c.records.Get(o.exit.ID)
	e := c.end(l, l.Current(), before, o.exit)
	if w := l.Watch(); w != nil {
		w.End()
	}
	c.background.Go(func() {
		ctx, cancel := c.working(2 * cleanup)
		defer cancel()
		if err := c.removeCgroup(ctx, o.cgroup, before.State.Pid); err != nil {
			c.log.Warn("remove the cgroup of a lost container", "container", before.Name, "cgroup", o.cgroup, "error", err)
		}
		if err := c.settle(ctx, l, e); err != nil {
			c.log.Error("put a run away", "container", before.ID, "error", err)
		}
	})
}

// removeCgroup removes what a run left below the engine's own parent, and ends
// the processes in it, unless the run's first process is still among them. That
// one is known by its place: a process that has got its number since is elsewhere.
func (c recovery) removeCgroup(ctx context.Context, path string, pid int) error {
	parent := filepath.Clean("/" + c.cfg.CgroupParent)
	if path = filepath.Clean("/" + path); parent == "/" || !strings.HasPrefix(path, parent+"/") {
		return nil
	}
	group := cgroup.Open(path)
	pids, err := group.Pids()
	if err != nil && !errors.Is(err, os.ErrNotExist) { // v1 may still have it in other hierarchies
		return err
	}
	if slices.Contains(pids, pid) {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("process %d runs on in it without a shim; end it with: kill -9 %d", pid, pid))
	}
	ctx, cancel := context.WithTimeout(ctx, cleanup)
	defer cancel()
	return group.Remove(ctx)
}

func seen(r *container.Record, s shim.Status) {
	r.State.Pid, r.State.CgroupPath = s.Pid, s.CgroupPath
	r.State.Status = container.Running
	if s.Paused {
		r.State.Status = container.Paused
	}
}

func unknown(id, why string) shim.Exit {
	return shim.Exit{ID: id, Code: -1, Unknown: why, At: time.Now()}
}

// dropStrays ends what runs in the shim without a record that says so: a start
// that was never acknowledged, because the engine died in the middle of it.
func (c recovery) dropStrays(ctx context.Context, running map[string]shim.Status) {
	for id, s := range running {
		if r := c.records.Get(id); r != nil && r.State.Status.Alive() || s.Exit != nil {
			continue
		}
		if err := c.dropStray(ctx, id); err != nil {
			c.log.Warn("kill an unrecorded container", "container", id, "error", err)
		}
	}
}

// dropStray waits for a start that may be in progress before it judges.
func (c recovery) dropStray(ctx context.Context, id string) error {
	if _, r, end, err := c.begin(ctx, id); err == nil {
		defer end()
		if r.State.Status.Alive() {
			return nil
		}
	} else if !errdefs.IsNotFound(err) {
		return err
	}
	c.log.Warn("a container was started but not recorded; it is killed", "container", id)
	err := c.deps.Shim.Signal(ctx, id, "", syscall.SIGKILL)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// sweep removes the files that belong to no record.
func (c recovery) sweep(ctx context.Context) {
	keep := func(key string) bool { return c.records.Get(storage.OwnerOf(key)) != nil }
	if err := c.deps.Rootfs.SweepRootfs(ctx, keep); err != nil {
		c.log.Warn("sweep root filesystems", "error", err)
	}
	root := filepath.Join(c.cfg.DataRoot, "containers")
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.log.Warn("sweep containers' files", "path", root, "error", err)
	}
	for _, e := range entries {
		if !keep(e.Name()) {
			c.quietly("sweep a container's files", func() error { return os.RemoveAll(filepath.Join(root, e.Name())) })
		}
	}
}

// resume carries on what a container was in the middle of, or what its policy wants.
func (c recovery) resume(ctx context.Context, r *container.Record) {
	switch r.State.Status {
	case container.Removing, container.Dead:
		c.finishRemoval(ctx, r)
	case container.Restarting:
		c.planRun(c.lives.Get(r.ID), 0)
	case container.Created, container.Exited:
		if r.HostConfig.AutoRemove { // who would have started it is gone; Docker removes it, too
			c.finishRemoval(ctx, r)
			return
		}
		if restart.AtEngineStart(r.HostConfig.RestartPolicy, !r.State.StartedAt.IsZero(), r.StoppedByUser) {
			c.records.Update(r.ID, func(r *container.Record) { r.State.Status = container.Restarting })
			c.planRun(c.lives.Get(r.ID), 0)
		}
	}
}

func (c recovery) finishRemoval(ctx context.Context, r *container.Record) {
	if err := removal(c).discard(ctx, c.lives.Get(r.ID), r, r.HostConfig.AutoRemove); err != nil {
		c.log.Warn("finish a removal", "container", r.Name, "error", err)
	}
}

// watch follows the shim until the engine ends.
func (c recovery) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	c.background.Go(func() {
		<-c.closing
		cancel()
	})
	c.background.Go(func() {
		pause := respawnFirst
		for ctx.Err() == nil {
			began := time.Now()
			c.follow(ctx)
			if ctx.Err() != nil {
				return
			}
			if time.Since(began) > time.Minute {
				pause = respawnFirst
			}
			if err := c.reconnect(ctx); err != nil && ctx.Err() == nil {
				c.log.Error("the shim is gone and cannot be replaced yet; containers run on", "error", err, "again in", pause)
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
				pause = min(2*pause, respawnMost)
			}
		}
	})
}

const (
	respawnFirst = 100 * time.Millisecond
	respawnMost  = 10 * time.Second
)

// follow returns when the connection to the shim breaks.
func (c recovery) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	held := make(chan struct{})
	go func() {
		defer close(held)
		if err := c.deps.Shim.Hold(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("hold the shim's descriptors", "error", err)
		}
	}()
	if err := c.deps.Shim.Exits(ctx, c.exited); err != nil && ctx.Err() == nil {
		c.log.Warn("follow the shim's exits", "error", err)
	}
	cancel()
	<-held
}

// reconnect has a shim again and ends the runs that it does not know.
func (c recovery) reconnect(ctx context.Context) error {
	if err := c.deps.Shim.Respawn(ctx); err != nil {
		return err
	}
	// The runs first: one that begins after this is in the new shim.
	runs := map[string]*lives.Run{}
	for _, r := range c.records.All() {
		if l := c.lives.Get(r.ID); l != nil && r.State.Status.Alive() {
			runs[r.ID] = l.Current()
		}
	}
	known, err := c.list(ctx)
	if err != nil {
		return err
	}
	for id, run := range runs {
		if l := c.lives.Get(id); l != nil && l.Current() == run {
			if _, ok := known[id]; !ok {
				c.exited(unknown(id, "its shim died and could not be asked"))
			}
		}
	}
	c.background.Go(func() { c.dropStrays(ctx, known) })
	return nil
}
