package engine

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/lives"
)

// Remove takes a container away; with Force it is killed first.
func (v verbs) Remove(ctx context.Context, ref string, o RemoveOptions) error {
	if o.Link {
		return errdefs.ErrInvalidArgument.WithMessage("links are not supported; there is none to remove")
	}
	ctx = context.WithoutCancel(ctx)
	for {
		l, r, end, err := v.begin(ctx, ref)
		if err != nil {
			return err
		}
		if r.State.Status.Alive() {
			run := l.Current()
			end()
			if err := v.killToRemove(ctx, r, run, o.Force); err != nil {
				return err
			}
			ref = r.ID
			if r.HostConfig.AutoRemove { // then it is gone by itself
				return nil
			}
			continue
		}
		if r.State.Status == container.Restarting {
			if !o.Force {
				end()
				return errdefs.ErrConflict.WithMessage("You cannot remove a restarting container " + r.ID + ". Stop the container before attempting removal or force remove")
			}
			l.CancelRetry()
		}
		err = removal(v).discard(ctx, l, r, o.Volumes)
		end()
		return err
	}
}

func (v verbs) killToRemove(ctx context.Context, r *container.Record, run *lives.Run, force bool) error {
	if !force {
		advice := "Stop the container before attempting removal or force remove"
		if r.State.Status == container.Paused {
			advice = "Unpause and then stop the container before attempting removal or force remove"
		}
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("You cannot remove a %s container %s. %s", r.State.Status, r.ID, advice))
	}
	v.records.Update(r.ID, func(r *container.Record) { r.StoppedByUser = true })
	if err := v.signal(ctx, r, 9); err != nil {
		return err
	}
	return v.awaitKilled(r, run)
}

// removal takes containers away.
type removal struct{ *core }

// discard takes away what a container that does not run consists of; the caller
// has its turn. The record goes in one transaction after the volumes: a crash
// before it leaves the container, a crash after it what New sweeps.
func (c removal) discard(ctx context.Context, l *lives.Live, r *container.Record, volumes bool) error {
	c.records.Update(r.ID, func(r *container.Record) { r.State.Status = container.Removing })
	if volumes {
		c.storage.Release(r, true)
	}
	if err := c.records.Delete(r.ID); err != nil {
		c.records.Update(r.ID, func(r *container.Record) { r.State.Status, r.State.Error = container.Dead, err.Error() })
		return fmt.Errorf("remove container %s: %w", r.Name, err)
	}
	c.farewell(l, r)
	c.clear(ctx, r)
	return nil
}

// vanish is discard after a run with --rm: who waits is told first. Until the
// transaction the disk says that the container runs and the shim keeps its exit,
// so that after a crash it is removed all the same.
func (c removal) vanish(ctx context.Context, l *lives.Live, r *container.Record) error {
	c.storage.Release(r, true)
	store := c.records.Drop(r.ID)
	c.farewell(l, r)
	if err := store(); err != nil {
		return fmt.Errorf("remove container %s: %w", r.Name, err)
	}
	c.clear(ctx, r)
	return nil
}

// farewell ends a container for all who look or wait.
func (c removal) farewell(l *lives.Live, r *container.Record) {
	c.storage.Release(r, false)
	c.lives.Drop(r.ID)
	c.execs.Forget(r.ID)
	c.tell(r, events.ActionDestroy, nil)
	l.Wake(answerOf(r), func(api.WaitCondition) bool { return true })
}

func (c removal) clear(ctx context.Context, r *container.Record) {
	if err := errors.Join(c.storage.Discard(ctx, r), os.RemoveAll(c.dir(r.ID))); err != nil {
		c.log.Warn("remove what is left of a container; the next start of the engine does it", "container", r.ID, "error", err)
	}
}
