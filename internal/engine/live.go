package engine

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/lives"
)

// begin finds a container and waits for its turn; the caller calls end. A run
// that has just ended is put away first, so that the record is the whole truth.
func (c *core) begin(ctx context.Context, ref string) (l *lives.Live, r *container.Record, end func(), err error) {
	for {
		r, err := c.records.Find(ref)
		if err != nil {
			return nil, nil, nil, err
		}
		l := c.lives.Get(r.ID)
		if l == nil {
			return nil, nil, nil, noSuch(ref)
		}
		select {
		case l.Turn <- struct{}{}:
		case <-ctx.Done():
			return nil, nil, nil, fmt.Errorf("wait for container %s: %w", ref, ctx.Err())
		}
		end := func() { <-l.Turn }
		if run := l.Current(); run != nil && lives.Closed(run.Exited) && !lives.Closed(run.Settled) {
			end()
			select {
			case <-run.Settled:
			case <-ctx.Done():
				return nil, nil, nil, fmt.Errorf("wait for container %s: %w", ref, ctx.Err())
			}
			continue
		}
		if r = c.records.Get(r.ID); r == nil {
			end()
			return nil, nil, nil, noSuch(ref)
		}
		return l, r, end, nil
	}
}

func noSuch(ref string) error {
	return errdefs.ErrNotFound.WithMessage("No such container: " + ref)
}

func notRunning(r *container.Record) error {
	return errdefs.ErrConflict.WithMessage("container " + r.ID + " is not running")
}
