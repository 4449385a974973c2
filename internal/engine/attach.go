package engine

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/lives"
	"github.com/berth-containers/berth/internal/engine/logging"
	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/shim"
)

// streams reach what containers read, write and end with.
type streams struct{ *core }

// Wait returns a channel that gets one answer when the condition is met.
func (s streams) Wait(ctx context.Context, ref string, condition api.WaitCondition) (<-chan api.WaitResponse, error) {
	r, err := s.records.Find(ref)
	if err != nil {
		return nil, err
	}
	switch condition {
	case "":
		condition = api.WaitConditionNotRunning
	case api.WaitConditionNotRunning, api.WaitConditionNextExit, api.WaitConditionRemoved:
	default:
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid condition: %q", condition))
	}
	l := s.lives.Get(r.ID)
	if l == nil {
		return nil, noSuch(ref)
	}
	w := l.AddWaiter(condition)
	// The state is looked at after the waiter is there, so no end is missed.
	now := s.records.Get(r.ID)
	switch {
	case now == nil:
		l.Wake(answerOf(r), func(api.WaitCondition) bool { return true })
	case condition == api.WaitConditionNotRunning && !now.State.Status.Alive() && now.State.Status != container.Restarting:
		l.DropWaiter(w)
		select {
		case w.Answer <- answerOf(now):
		default: // it was woken meanwhile
		}
	}
	return s.forward(ctx, l, w), nil
}

// forward hands the answer on and forgets the waiter when the caller goes away.
func (s streams) forward(ctx context.Context, l *lives.Live, w lives.Waiter) <-chan api.WaitResponse {
	out := make(chan api.WaitResponse, 1)
	select {
	case a := <-w.Answer:
		out <- a
		return out
	default:
	}
	s.background.Go(func() {
		select {
		case a := <-w.Answer:
			out <- a
		case <-ctx.Done():
			l.DropWaiter(w)
		case <-s.closing:
		}
	})
	return out
}

// LogsTTY is whether the container's output is that of a terminal.
func (s streams) LogsTTY(ref string) (bool, error) {
	r, err := s.records.Find(ref)
	if err != nil {
		return false, err
	}
	return r.Config.Tty, nil
}

// Logs yields what the container wrote; Follow goes on until it ends.
func (s streams) Logs(ctx context.Context, ref string, o LogsOptions, yield func(logs.Message) error) error {
	r, err := s.records.Find(ref)
	if err != nil {
		return err
	}
	if !o.Stdout && !o.Stderr {
		return errdefs.ErrInvalidArgument.WithMessage("You must choose at least one stream")
	}
	c, err := logging.Config(r, s.logDir(r.ID))
	if err != nil {
		return err
	}
	return logs.Read(ctx, c, logs.ReadOptions{Since: o.Since, Until: o.Until,
		Tail: o.Tail, Stdout: o.Stdout, Stderr: o.Stderr, Follow: o.Follow, Idle: o.Idle, Done: s.done(r)}, yield)
}

// done is closed when the container does not run.
func (s streams) done(r *container.Record) <-chan struct{} {
	if l := s.lives.Get(r.ID); l != nil && (r.State.Status.Alive() || r.State.Status == container.Created) {
		if run := l.Current(); run != nil {
			return run.Exited
		}
	}
	ended := make(chan struct{})
	close(ended)
	return ended
}

// Attach joins the container's stdio; before a start it waits for it and
// misses nothing.
func (s streams) Attach(ctx context.Context, ref string, o AttachOptions) (*Attached, error) {
	r, err := s.records.Find(ref)
	if err != nil {
		return nil, err
	}
	switch r.State.Status {
	case container.Paused:
		return nil, errdefs.ErrConflict.WithMessage("container " + r.ID + " is paused, unpause the container before attach")
	case container.Restarting:
		return nil, errdefs.ErrConflict.WithMessage("Container " + r.ID + " is restarting, wait until the container is running")
	case container.Removing, container.Dead:
		return nil, notRunning(r)
	}
	a := &Attached{TTY: r.Config.Tty}
	if o.Logs {
		a.Replay = func(ctx context.Context, yield func(logs.Message) error) error {
			return s.Logs(ctx, r.ID, LogsOptions{Tail: -1, Stdout: o.Stdout, Stderr: o.Stderr}, yield)
		}
	}
	if o.Stream {
		a.Stream, err = s.deps.Shim.Attach(ctx, shim.AttachRequest{ID: r.ID, Stdin: o.Stdin && r.Config.OpenStdin, Stdout: o.Stdout, Stderr: o.Stderr})
		if err != nil {
			return nil, fmt.Errorf("attach to container %s: %w", ref, err)
		}
	}
	s.tell(r, events.ActionAttach, nil)
	return a, nil
}

// Resize sets the size of the container's terminal.
func (s streams) Resize(ctx context.Context, ref string, width, height uint16) error {
	r, err := s.records.Find(ref)
	if err != nil {
		return err
	}
	if !r.State.Status.Alive() {
		return notRunning(r)
	}
	if !r.Config.Tty {
		return nil // as Docker
	}
	if err := s.deps.Shim.Resize(ctx, r.ID, "", width, height); err != nil {
		return fmt.Errorf("resize the terminal of %s: %w", ref, err)
	}
	s.tell(r, events.ActionResize, map[string]string{"height": fmt.Sprint(height), "width": fmt.Sprint(width)})
	return nil
}
