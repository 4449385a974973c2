// Package stats reads what containers use, from their cgroups and namespaces.
package stats

import (
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

// Sampler remembers the sample before.
type Sampler struct {
	ID     string
	Get    func(id string) *container.Record // nil if there is none
	before api.StatsResponse

	began time.Time // of the first sample
	first uint64    // the host's time then
}

// Next is a sample and the one before it; of a container that does not run the
// figures are zero.
func (s *Sampler) Next() (api.StatsResponse, error) {
	r := s.Get(s.ID)
	if r == nil {
		return api.StatsResponse{}, errdefs.ErrNotFound.WithMessage("No such container: " + s.ID)
	}
	now := api.StatsResponse{ID: r.ID, Name: "/" + r.Name, OSType: "linux", PreRead: s.before.Read, PreCPUStats: s.before.CPUStats}
	if r.State.Status.Alive() {
		if err := s.sample(r, &now); err != nil {
			// It ends at this moment: then these are its last figures.
			if again := s.Get(s.ID); again != nil && again.State.Pid == r.State.Pid {
				return now, fmt.Errorf("read the figures of container %s: %w", r.Name, err)
			}
		}
	}
	s.before = now
	return now, nil
}

// hostTime is the time of all processors since the boot, in ns. The kernel tells
// it in ticks of 10 ms; what passes after the first sample is measured exactly, so
// that two samples that are close give a share.
func (s *Sampler) hostTime() (uint64, error) {
	if s.began.IsZero() {
		first, err := host.CPU()
		if err != nil {
			return 0, err
		}
		s.began, s.first = time.Now(), first
	}
	return s.first + uint64(time.Since(s.began))*uint64(runtime.NumCPU()), nil
}

// sample reads the cgroup and the network of a container.
func (s *Sampler) sample(r *container.Record, to *api.StatsResponse) error {
	if r.State.CgroupPath == "" {
		return errdefs.ErrFailedPrecondition.WithMessage("the container has no cgroup of its own")
	}
	st, err := cgroup.Open(r.State.CgroupPath).Stats()
	if err != nil {
		return err
	}
	to.Read = time.Now()
	show.Stats(st, uint64(host.Memory()), to)
	to.CPUStats.SystemUsage, err = s.hostTime()
	if err != nil {
		return err
	}
	to.CPUStats.OnlineCPUs = uint32(runtime.NumCPU())
	if len(r.Endpoints()) > 0 {
		// A network that cannot be read belongs to a process that has just ended.
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", r.State.Pid))
		to.Networks = show.Networks(text)
	}
	return nil
}
