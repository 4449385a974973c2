package engine

import (
	"context"
	"fmt"
	"time"
)

// mostStarts is how many containers are started at once. More would be no
// faster, and each takes threads of the engine and of the shim that stay.
const mostStarts = 32

// startsPause is how long a planned run that found no slot waits before it asks again.
const startsPause = time.Second

// slots bound how much of something goes on at once.
type slots chan struct{}

// take waits for a slot; the caller calls free.
func (s slots) take(ctx context.Context) (free func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for other containers' starts: %w", ctx.Err())
	}
}
