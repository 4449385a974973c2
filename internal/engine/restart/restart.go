// Package restart decides whether and when a container runs again. It is pure;
// a back-off begins anew with the engine.
package restart

import (
	"fmt"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	record "github.com/berth-containers/berth/internal/container"
)

const (
	first  = 100 * time.Millisecond
	most   = time.Minute
	steady = 10 * time.Second // a run this long was a success: begin anew
)

// Backoff is the pause before the next run; the zero value is for a container
// that has not failed yet.
type Backoff struct{ last time.Duration }

// Next returns the pause after a run of this length: 100 ms, doubled each time
// up to a minute, 100 ms again after a run of 10 s.
func (b *Backoff) Next(ran time.Duration) time.Duration {
	switch {
	case b.last == 0 || ran >= steady:
		b.last = first
	default:
		b.last = min(2*b.last, most)
	}
	return b.last
}

// Exit is what the policy looks at when a run has ended.
type Exit struct {
	Code          int
	Count         int // restarts so far
	StoppedByUser bool
}

// Again is whether the policy wants another run.
func Again(p container.RestartPolicy, e Exit) bool {
	if e.StoppedByUser {
		return false
	}
	switch p.Name {
	case container.RestartPolicyAlways, container.RestartPolicyUnlessStopped:
		return true
	case container.RestartPolicyOnFailure:
		return e.Code != 0 && (p.MaximumRetryCount == 0 || e.Count < p.MaximumRetryCount)
	}
	return false
}

// AtEngineStart is whether a container that is not running runs again because
// the engine starts: "always" forgets that the user had stopped it.
func AtEngineStart(p container.RestartPolicy, everStarted, stoppedByUser bool) bool {
	switch p.Name {
	case container.RestartPolicyAlways:
		return everStarted
	case container.RestartPolicyUnlessStopped:
		return everStarted && !stoppedByUser
	}
	return false
}

// LabelUnhealthy has a container run anew when its health check says that it is
// unhealthy, whatever its policy.
const LabelUnhealthy = "berth.restart.unhealthy"

// Unhealthy is whether the container asks for that. One that goes with its end does not.
func Unhealthy(r *record.Record) bool {
	on, err := strconv.ParseBool(r.Config.Labels[LabelUnhealthy])
	return err == nil && on && !r.HostConfig.AutoRemove
}

// CheckLabels returns InvalidArgument if a label of the policies has a bad value.
func CheckLabels(labels map[string]string) error {
	value, ok := labels[LabelUnhealthy]
	if _, err := strconv.ParseBool(value); ok && err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the label %s=%s must be true or false", LabelUnhealthy, value))
	}
	return nil
}
