package engine

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/host"
	"github.com/berth-containers/berth/internal/engine/show"
	"github.com/berth-containers/berth/internal/sys/cgroup"
)

const statsInterval = time.Second

// Stats yields what a container has used, once or each second until ctx ends or
// the container is removed. A sample has the one before it as well, so one that
// is asked for once takes a second, unless oneShot. Of a container that does
// not run the figures are zero.
func (q queries) Stats(ctx context.Context, ref string, stream, oneShot bool, yield func(api.StatsResponse) error) error {
	r, err := q.records.Find(ref)
	if err != nil {
		return err
	}
	sampler := sampler{queries: q, id: r.ID}
	s, err := sampler.next()
	if err != nil {
		return err
	}
	wait := !stream && !oneShot && r.State.Status.Alive()
	for first := true; ; first = false {
		if !first || !wait {
			if err := yield(s); err != nil || !stream {
				return err
			}
		}
		select {
		case <-time.After(statsInterval):
		case <-ctx.Done():
			return ctx.Err()
		case <-q.closing:
			return nil
		}
		if s, err = sampler.next(); errdefs.IsNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// sampler remembers the sample before.
type sampler struct {
	queries
	id     string
	before api.StatsResponse
}

func (s *sampler) next() (api.StatsResponse, error) {
	r := s.records.Get(s.id)
	if r == nil {
		return api.StatsResponse{}, noSuch(s.id)
	}
	now := api.StatsResponse{ID: r.ID, Name: "/" + r.Name, OSType: "linux", PreRead: s.before.Read, PreCPUStats: s.before.CPUStats}
	if r.State.Status.Alive() {
		if err := sample(r, &now); err != nil {
			// It ends at this moment: then these are its last figures.
			if again := s.records.Get(s.id); again != nil && again.State.Pid == r.State.Pid {
				return now, fmt.Errorf("read the figures of container %s: %w", r.Name, err)
			}
		}
	}
	s.before = now
	return now, nil
}

// sample reads the cgroup and the network of a container.
func sample(r *container.Record, to *api.StatsResponse) error {
	if r.State.CgroupPath == "" {
		return errdefs.ErrFailedPrecondition.WithMessage("the container has no cgroup of its own")
	}
	st, err := cgroup.Open(r.State.CgroupPath).Stats()
	if err != nil {
		return err
	}
	to.Read = time.Now()
	show.Stats(st, uint64(host.Memory()), to)
	to.CPUStats.SystemUsage, err = host.CPU()
	if err != nil {
		return err
	}
	to.CPUStats.OnlineCPUs = uint32(runtime.NumCPU())
	if r.Endpoint != nil {
		// A network that cannot be read belongs to a process that has just ended.
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", r.State.Pid))
		to.Networks = show.Networks(text)
	}
	return nil
}
