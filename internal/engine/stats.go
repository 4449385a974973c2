package engine

import (
	"context"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/engine/stats"
)

const (
	statsInterval = time.Second
	// statsOnce is the time between the two samples of an answer that is asked for
	// once.
	statsOnce = 200 * time.Millisecond
)

// Stats yields what a container has used, once or each second until ctx ends or
// the container is removed. A sample has the one before it as well, so one that
// is asked for once takes a moment, unless oneShot. Of a container that does
// not run the figures are zero.
func (q queries) Stats(ctx context.Context, ref string, stream, oneShot bool, yield func(api.StatsResponse) error) error {
	r, err := q.records.Find(ref)
	if err != nil {
		return err
	}
	sampler := stats.Sampler{ID: r.ID, Get: q.records.Get}
	s, err := sampler.Next()
	if err != nil {
		return err
	}
	wait, pause := !stream && !oneShot && r.State.Status.Alive(), statsInterval
	if wait {
		pause = statsOnce
	}
	for first := true; ; first = false {
		if !first || !wait {
			if err := yield(s); err != nil || !stream {
				return err
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		case <-q.closing:
			return nil
		}
		if s, err = sampler.Next(); errdefs.IsNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
