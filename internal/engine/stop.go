package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/lives"
	"github.com/berth-containers/berth/internal/engine/merge"
	"github.com/berth-containers/berth/internal/engine/names"
)

// Stop asks the container to end by signal ("": its own), kills it after
// timeout seconds (nil: its own, -1: never), and returns when it has ended.
// ErrNotModified if it does not run.
func (v verbs) Stop(ctx context.Context, ref, signal string, timeout *int) error {
	ctx = context.WithoutCancel(ctx) // a client that goes away does not leave it half-stopped
	l, r, end, err := v.begin(ctx, ref)
	if err != nil {
		return err
	}
	if r.State.Status == container.Restarting {
		defer end()
		return v.stopRestarting(l, r)
	}
	if !r.State.Status.Alive() {
		end()
		return ErrNotModified
	}
	sig, grace, err := stopWith(r, signal, timeout)
	if err != nil {
		end()
		return err
	}
	run := l.Current()
	err = v.markStopped(r)
	end()
	if err != nil {
		return err
	}
	if err := v.signal(ctx, r, sig); err != nil {
		return err
	}
	if err := v.await(ctx, r, run, grace); err != nil {
		return err
	}
	v.tell(r, events.ActionStop, nil)
	return nil
}

// Halt stops every container because the host stops: no user has, so that the next
// engine runs again what a policy asks for. Until the engine ends, nothing is
// restarted. It returns when all have ended, or with ctx.
func (v verbs) Halt(ctx context.Context) error {
	v.halted.Store(true)
	records := v.records.All()
	errs := make([]error, len(records))
	var all sync.WaitGroup
	for i, r := range records {
		if r.State.Status.Alive() {
			all.Go(func() { errs[i] = v.halt(ctx, r.ID) })
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

func (v verbs) halt(ctx context.Context, id string) error {
	l, r, end, err := v.begin(ctx, id)
	if errdefs.IsNotFound(err) { // what is not there need not be stopped
		return nil
	}
	if err != nil {
		return err
	}
	run := l.Current()
	end()
	if !r.State.Status.Alive() {
		return nil
	}
	sig, grace, err := stopWith(r, "", nil)
	if err != nil {
		return err
	}
	if at, ok := ctx.Deadline(); ok { // what is left is for those that must be killed
		most := time.Until(at) / 2
		if grace == nil || *grace > most {
			grace = &most
		}
	}
	if err := v.signal(ctx, r, sig); err != nil {
		return err
	}
	return v.await(ctx, r, run, grace)
}

// stopRestarting stops a container between two runs.
func (v verbs) stopRestarting(l *lives.Live, r *container.Record) error {
	l.CancelRetry()
	r = v.records.Update(r.ID, func(r *container.Record) {
		r.State.Status, r.StoppedByUser = container.Exited, true
	})
	l.Wake(answerOf(r), func(w api.WaitCondition) bool { return w != api.WaitConditionRemoved })
	v.tell(r, events.ActionStop, nil)
	return v.records.Save(r.ID)
}

// markStopped keeps the restart policy quiet, also over a crash of the engine.
func (v verbs) markStopped(r *container.Record) error {
	v.records.Update(r.ID, func(r *container.Record) { r.StoppedByUser = true })
	if r.HostConfig.RestartPolicy.IsNone() {
		return nil // it is stored with the exit
	}
	return v.records.Save(r.ID)
}

func stopWith(r *container.Record, signal string, timeout *int) (syscall.Signal, *time.Duration, error) {
	for _, s := range []string{signal, r.Config.StopSignal, "TERM"} {
		if s != "" {
			signal = s
			break
		}
	}
	sig, err := merge.Signal(signal)
	if err != nil {
		return 0, nil, err
	}
	secs := 10
	if r.Config.StopTimeout != nil {
		secs = *r.Config.StopTimeout
	}
	if timeout != nil {
		secs = *timeout
	}
	if secs < 0 {
		return sig, nil, nil
	}
	grace := time.Duration(secs) * time.Second
	return sig, &grace, nil
}

// signal sends it and thaws a paused container, so that it can act.
func (v verbs) signal(ctx context.Context, r *container.Record, sig syscall.Signal) error {
	// Before it is sent: the end that it causes is told after it.
	v.tell(r, events.ActionKill, map[string]string{"signal": strconv.Itoa(int(sig))})
	err := v.deps.Shim.Signal(ctx, r.ID, "", sig)
	if errdefs.IsNotFound(err) || errors.Is(err, syscall.ESRCH) {
		return nil // it has ended meanwhile
	}
	if err != nil {
		return fmt.Errorf("signal container %s: %w", r.ID, err)
	}
	if r.State.Status == container.Paused {
		return v.thaw(ctx, r)
	}
	return nil
}

func (v verbs) thaw(ctx context.Context, r *container.Record) error {
	if err := v.deps.Shim.Resume(ctx, r.ID); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("resume container %s: %w", r.ID, err)
	}
	v.records.Update(r.ID, func(r *container.Record) {
		if r.State.Status == container.Paused {
			r.State.Status = container.Running
		}
	})
	return nil
}

// await waits for the end of a run; after grace it is killed.
func (v verbs) await(ctx context.Context, r *container.Record, run *lives.Run, grace *time.Duration) error {
	var late <-chan time.Time
	if grace != nil {
		t := time.NewTimer(*grace)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-run.Exited:
		<-run.Settled
		return nil
	case <-late:
	}
	if err := v.signal(ctx, r, syscall.SIGKILL); err != nil {
		return err
	}
	return v.awaitKilled(r, run)
}

// awaitKilled bounds the wait for a process that the kernel does not let die.
func (v verbs) awaitKilled(r *container.Record, run *lives.Run) error {
	t := time.NewTimer(cleanup)
	defer t.Stop()
	select {
	case <-run.Settled:
		return nil
	case <-t.C:
		return errdefs.ErrUnavailable.WithMessage("container " + r.ID + " was killed but has not ended; the kernel may be busy with one of its processes: try again, or look at the host's dmesg")
	}
}

// Restart stops the container if it runs and starts it.
func (v verbs) Restart(ctx context.Context, ref, signal string, timeout *int) error {
	if err := v.Stop(ctx, ref, signal, timeout); err != nil && !errors.Is(err, ErrNotModified) {
		return err
	}
	// A client that goes away now must not leave it stopped.
	if err := v.Start(context.WithoutCancel(ctx), ref); err != nil && !errors.Is(err, ErrNotModified) {
		return err
	}
	if r, err := v.records.Find(ref); err == nil {
		v.tell(r, events.ActionRestart, nil)
	}
	return nil
}

// Kill sends a signal ("": KILL). A container that is killed has ended when
// Kill returns.
func (v verbs) Kill(ctx context.Context, ref, signal string) error {
	if signal == "" {
		signal = "KILL"
	}
	sig, err := merge.Signal(signal)
	if err != nil {
		return err
	}
	l, r, end, err := v.begin(ctx, ref)
	if err != nil {
		return err
	}
	if !r.State.Status.Alive() {
		end()
		return errdefs.ErrConflict.WithMessage("cannot kill container: " + ref + ": container " + r.ID + " is not running")
	}
	run := l.Current()
	if stop, _, err := stopWith(r, "", nil); sig == syscall.SIGKILL || err == nil && sig == stop {
		if err := v.markStopped(r); err != nil {
			end()
			return err
		}
	}
	end()
	if err := v.signal(ctx, r, sig); err != nil || sig != syscall.SIGKILL {
		return err
	}
	return v.awaitKilled(r, run)
}

// Pause freezes every process of the container.
func (v verbs) Pause(ctx context.Context, ref string) error {
	_, r, end, err := v.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer end()
	switch {
	case r.State.Status == container.Paused:
		return errdefs.ErrConflict.WithMessage("container " + r.ID + " is already paused")
	case r.State.Status != container.Running:
		return notRunning(r)
	}
	if err := v.deps.Shim.Pause(ctx, r.ID); err != nil {
		return fmt.Errorf("pause container %s: %w", ref, err)
	}
	return v.move(r.ID, container.Running, container.Paused, events.ActionPause)
}

// Unpause thaws it.
func (v verbs) Unpause(ctx context.Context, ref string) error {
	_, r, end, err := v.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer end()
	if r.State.Status != container.Paused {
		return errdefs.ErrConflict.WithMessage("Container " + r.ID + " is not paused")
	}
	if err := v.deps.Shim.Resume(ctx, r.ID); err != nil {
		return fmt.Errorf("unpause container %s: %w", ref, err)
	}
	return v.move(r.ID, container.Paused, container.Running, events.ActionUnPause)
}

// move changes the status if it has not changed by itself meanwhile.
func (v verbs) move(id string, from, to container.Status, action events.Action) error {
	r := v.records.Update(id, func(r *container.Record) {
		if r.State.Status == from {
			r.State.Status = to
		}
	})
	v.tell(r, action, nil)
	return v.records.Save(id)
}

// Rename gives the container another name.
func (v verbs) Rename(ctx context.Context, ref, name string) error {
	if name == "" {
		return errdefs.ErrInvalidArgument.WithMessage("Neither old nor new names may be empty")
	}
	_, r, end, err := v.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer end()
	if name, err = names.Check(name); err != nil {
		//lint:ignore ST1005 these are Docker's words
		return fmt.Errorf("Error when allocating new name: %w", err)
	}
	if r.Name == name {
		return errdefs.ErrInvalidArgument.WithMessage("Renaming a container with the same name as its current name")
	}
	if err := v.records.Reserve(name, r.ID); err != nil {
		//lint:ignore ST1005 these are Docker's words
		return fmt.Errorf("Error when allocating new name: %w", err)
	}
	old := r.Name
	r = v.records.Update(r.ID, func(r *container.Record) { r.Name = name })
	if err := v.records.Save(r.ID); err != nil {
		v.records.Update(r.ID, func(r *container.Record) { r.Name = old })
		v.records.Unreserve(name, r.ID)
		return err
	}
	v.records.Unreserve(old, r.ID)
	wiring(v).renamed(r)
	v.tell(r, events.ActionRename, map[string]string{"oldName": "/" + old})
	return nil
}
