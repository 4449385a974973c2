package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/restart"
	"github.com/berth-containers/berth/internal/shim"
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
		c.addLive(r.ID)
		c.useVolumes(r)
	}
	lost := c.adopt(all, running)
	if err := c.deps.Networks.Restore(ctx, c.endpoints()); err != nil {
		return fmt.Errorf("restore the network: %w", err)
	}
	c.dropStrays(ctx, running)
	c.sweep(ctx)
	c.watch()
	for _, e := range lost {
		c.exited(e)
	}
	for _, r := range c.records.All() {
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

func (c recovery) useVolumes(r *container.Record) {
	for _, m := range r.Mounts {
		if m.Type != mount.TypeVolume {
			continue
		}
		if _, _, err := c.volumes.Acquire(m.Name, nil, r.ID); err != nil {
			c.log.Warn("find a container's volume", "container", r.Name, "volume", m.Name, "error", err)
		}
	}
}

// adopt takes the runs over that go on in the shim or ended in it (their exits
// come by the watch), and returns the exits of those that nobody knows of.
func (c recovery) adopt(all []*container.Record, running map[string]shim.Status) []shim.Exit {
	var lost []shim.Exit
	for _, r := range all {
		if !r.State.Status.Alive() {
			continue
		}
		c.live(r.ID).setRun(adopted())
		s, ok := running[r.ID]
		if !ok {
			lost = append(lost, unknown(r.ID, "its shim was gone when the engine started; the host may have been restarted"))
			continue
		}
		c.records.Update(r.ID, func(r *container.Record) { seen(r, s) })
	}
	return lost
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

// endpoints are those of the containers that run, and of those whose end will
// give them back.
func (c recovery) endpoints() []container.Endpoint {
	var all []container.Endpoint
	for _, r := range c.records.All() {
		if r.State.Status.Alive() && r.Endpoint != nil {
			all = append(all, *r.Endpoint)
		}
	}
	return all
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
	keep := func(key string) bool { return c.records.Get(key) != nil }
	if err := c.deps.Rootfs.SweepRootfs(ctx, keep); err != nil {
		c.log.Warn("sweep root filesystems", "error", err)
	}
	for _, root := range []string{filepath.Join(c.cfg.DataRoot, "containers"), filepath.Join(c.cfg.ExecRoot, "shm")} {
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
}

// resume carries on what a container was in the middle of, or what its policy wants.
func (c recovery) resume(ctx context.Context, r *container.Record) {
	switch r.State.Status {
	case container.Removing, container.Dead:
		if err := removal(c).discard(ctx, c.live(r.ID), r, false); err != nil {
			c.log.Warn("finish a removal", "container", r.Name, "error", err)
		}
	case container.Restarting:
		c.planRun(c.live(r.ID), 0)
	case container.Exited:
		if restart.AtEngineStart(r.HostConfig.RestartPolicy, !r.State.StartedAt.IsZero(), r.StoppedByUser) {
			c.records.Update(r.ID, func(r *container.Record) { r.State.Status = container.Restarting })
			c.planRun(c.live(r.ID), 0)
		}
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
	runs := map[string]*run{}
	for _, r := range c.records.All() {
		if l := c.live(r.ID); l != nil && r.State.Status.Alive() {
			runs[r.ID] = l.current()
		}
	}
	known, err := c.list(ctx)
	if err != nil {
		return err
	}
	for id, run := range runs {
		if l := c.live(id); l != nil && l.current() == run {
			if _, ok := known[id]; !ok {
				c.exited(unknown(id, "its shim died and could not be asked"))
			}
		}
	}
	c.background.Go(func() { c.dropStrays(ctx, known) })
	return nil
}
