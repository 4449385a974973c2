package engine

import (
	"context"
	"errors"
	"strconv"
	"time"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/lives"
	"github.com/berth-containers/berth/internal/engine/networks"
	"github.com/berth-containers/berth/internal/engine/restart"
	"github.com/berth-containers/berth/internal/shim"
)

// exited takes what the shim tells of one process that has ended. It does not
// block: what follows is done in the background.
func (c *core) exited(e shim.Exit) {
	if e.ExecID != "" {
		c.execExited(e)
		return
	}
	c.background.Go(func() {
		ctx, cancel := c.working(2 * cleanup)
		defer cancel()
		l := c.lives.Get(e.ID)
		if l == nil {
			c.release(ctx, e.ID)
			return
		}
		if err := c.finish(ctx, l, e); err != nil {
			c.log.Error("put a run away", "container", e.ID, "error", err)
		}
	})
}

// release lets the shim forget a container. If that fails, the shim tells of the
// exit once more at the next connection.
func (c *core) release(ctx context.Context, id string) {
	if err := c.deps.Shim.Release(ctx, id); err != nil {
		c.log.Warn("release a container in the shim", "container", id, "error", err)
	}
}

// finish ends a run: first who waits is woken, then the exit is stored, the
// network given back, and the restart policy asked.
func (c *core) finish(ctx context.Context, l *lives.Live, e shim.Exit) error {
	run := l.Current()
	if run == nil { // its start was never acknowledged
		c.release(ctx, e.ID)
		return nil
	}
	<-run.Started
	if run.Failed {
		c.release(ctx, e.ID)
		return nil
	}
	if lives.Closed(run.Exited) { // told a second time
		return c.keep(ctx, e.ID)
	}
	before := c.records.Get(e.ID)
	if before == nil || e.Pid != 0 && e.Pid != before.State.Pid {
		return nil // removed; or the end of a stray, told when the next run had begun
	}
	return c.settle(ctx, l, c.end(l, run, before, e))
}

// ending is a run whose end is known and not yet put away.
type ending struct {
	run    *lives.Run
	record *container.Record // after it
	pause  time.Duration     // before the next run, if again
	again  bool
}

// end publishes how a run ended and wakes who waits for it.
func (c *core) end(l *lives.Live, run *lives.Run, before *container.Record, e shim.Exit) ending {
	pause, again := c.again(l, run, before, e)
	after := c.records.Update(e.ID, func(r *container.Record) { ended(r, e, again) })
	run.Exit = e
	close(run.Exited)
	if e.Unknown != "" {
		c.execs.Lose(e.ID)
	}
	if !again {
		l.Wake(answerOf(after), func(w api.WaitCondition) bool { return w != api.WaitConditionRemoved })
	}
	c.tellDie(after, e)
	return ending{run, after, pause, again}
}

// ended is the record after a run.
func ended(r *container.Record, e shim.Exit, again bool) {
	s := &r.State
	s.Status, s.Pid, s.CgroupPath = container.Exited, 0, ""
	if again {
		s.Status = container.Restarting
		r.RestartCount++
	}
	s.ExitCode, s.OOMKilled, s.FinishedAt, s.Error = e.Code, e.OOMKilled, e.At.UTC(), ""
	if e.Unknown != "" {
		s.ExitCode, s.Error = -1, "the exit code is not known: "+e.Unknown
	}
}

func answerOf(r *container.Record) api.WaitResponse {
	a := api.WaitResponse{StatusCode: int64(r.State.ExitCode)}
	if r.State.ExitCode == -1 && r.State.Error != "" {
		a.Error = &api.WaitExitError{Message: r.State.Error}
	}
	return a
}

// again asks the restart policy. A run that ends while it is unhealthy is
// followed by another if the container asks for that; one that never was healthy
// does not end the back-off, however long it was.
func (c *core) again(l *lives.Live, run *lives.Run, r *container.Record, e shim.Exit) (pause time.Duration, again bool) {
	code, ran := e.Code, e.At.Sub(r.State.StartedAt)
	if e.Unknown != "" {
		code = -1
	}
	again = restart.Again(r.HostConfig.RestartPolicy, restart.Exit{Code: code, Count: r.RestartCount, StoppedByUser: r.StoppedByUser})
	if w := l.Watch(); w != nil && restart.Unhealthy(r) && !r.StoppedByUser && (run.Healing.Load() || w.Health().Status == api.Unhealthy) {
		again = true
		if !w.Passed() {
			ran = 0
		}
	}
	if again {
		pause = l.Pause(ran)
	}
	return pause, again
}

// settle does what nobody has to wait for.
func (c *core) settle(ctx context.Context, l *lives.Live, e ending) error {
	r := e.record
	l.Turn <- struct{}{}
	defer func() { <-l.Turn }()
	defer close(e.run.Settled)
	freed := make(chan error, 1)
	go func() { freed <- c.freeNetwork(ctx, r) }()
	c.quietly("unmount what a run had mounted", func() error { return c.storage.End(r) })
	c.storage.Ended(r)
	var stored, err error
	if r.HostConfig.AutoRemove {
		err = <-freed
		stored = removal{c}.vanish(ctx, l, r)
	} else {
		stored = c.records.Save(r.ID)
		err = <-freed
	}
	if stored == nil {
		c.release(ctx, r.ID)
	} else {
		c.keepLater(l, r)
	}
	if now := c.records.Get(r.ID); e.again && now != nil && now.State.Status == container.Restarting {
		c.planRun(l, e.pause)
	}
	return errors.Join(stored, err)
}

// keep stores how a run ended, and only then lets the shim forget it.
func (c *core) keep(ctx context.Context, id string) error {
	if err := c.records.Save(id); err != nil {
		return err
	}
	c.release(ctx, id)
	return nil
}

// keepPause is how long a full disk is given between two attempts.
const keepPause = 2 * time.Second

// keepLater goes on trying to store an exit. Until then the shim keeps it, so
// that it is told to the next engine, too. A container that vanished is deleted.
func (c *core) keepLater(l *lives.Live, r *container.Record) {
	vanished := r.HostConfig.AutoRemove
	c.background.Go(func() {
		for {
			select {
			case <-time.After(keepPause):
			case <-c.closing:
				return
			}
			if vanished && (removal{c}).tryDelete(r) || !vanished && (c.lives.Get(l.ID) == nil || c.tryKeep(l)) {
				return
			}
		}
	})
}

func (c removal) tryDelete(r *container.Record) bool {
	if err := c.records.Delete(r.ID); err != nil {
		return false
	}
	ctx, cancel := c.working(cleanup)
	defer cancel()
	c.clear(ctx, r)
	c.release(ctx, r.ID)
	return true
}

// tryKeep is true once there is nothing left to store.
func (c *core) tryKeep(l *lives.Live) bool {
	ctx, cancel := c.working(cleanup)
	defer cancel()
	select {
	case l.Turn <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-l.Turn }()
	if r := c.records.Get(l.ID); r == nil || r.State.Status.Alive() {
		return true // it runs again: the start has stored it
	}
	return c.keep(ctx, l.ID) == nil
}

func (c *core) freeNetwork(ctx context.Context, r *container.Record) error {
	if !networks.Own(r) {
		return nil
	}
	wiring{c}.tellPlaces(r, events.ActionDisconnect)
	return c.deps.Networks.Release(ctx, r.ID)
}

// planRun lets the container run again after a pause, unless a verb comes first.
func (c *core) planRun(l *lives.Live, pause time.Duration) {
	if lives.Closed(c.closing) || c.halted.Load() {
		return
	}
	l.SetRetry(time.AfterFunc(pause, func() {
		if lives.Closed(c.closing) || c.halted.Load() {
			return
		}
		c.background.Go(func() { c.rerun(l.ID) })
	}))
}

func (c *core) rerun(id string) {
	ctx, cancel := c.working(2 * cleanup)
	defer cancel()
	l, r, end, err := c.begin(ctx, id)
	if err != nil {
		return // removed meanwhile, or the engine ends
	}
	defer end()
	if r.State.Status != container.Restarting {
		return
	}
	free, err := c.starts.take(ctx)
	if err != nil { // the others take long; or the engine ends, then nothing is planned
		c.planRun(l, startsPause)
		return
	}
	defer free()
	if err := c.launch(ctx, l, r, r.RestartCount); err != nil && !lives.Closed(c.closing) {
		c.log.Warn("restart a container", "container", r.Name, "error", err)
	}
}

func (c *announcer) tellDie(r *container.Record, e shim.Exit) {
	if e.OOMKilled {
		c.tell(r, events.ActionOOM, nil)
	}
	more := map[string]string{"exitCode": strconv.Itoa(r.State.ExitCode)}
	if !r.State.StartedAt.IsZero() {
		more["execDuration"] = strconv.Itoa(int(e.At.Sub(r.State.StartedAt).Seconds()))
	}
	c.tell(r, events.ActionDie, more)
}
