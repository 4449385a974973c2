package hostspec

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	sysmount "github.com/berth-containers/berth/internal/sys/mount"
)

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// spreads refuses, in Docker's words, a bind that is to propagate from a mount
// that does not. One that was not asked for by name, of the engine's own data,
// is as good without.
func spreads(mounts []container.Mount) error {
	for _, m := range mounts {
		if m.Bind == nil || m.Bind.Propagation == "" {
			continue
		}
		shared := m.Propagation == mount.PropagationShared || m.Propagation == mount.PropagationRShared
		if !shared && m.Propagation != mount.PropagationSlave && m.Propagation != mount.PropagationRSlave {
			continue
		}
		s, err := sysmount.SpreadOf(m.Source)
		switch {
		case err != nil:
			return err
		case shared && !s.Shared:
			return invalid("path %s is mounted on %s but it is not a shared mount", m.Source, s.Point)
		case !s.Shared && !s.Slave:
			return invalid("path %s is mounted on %s but it is not a shared or slave mount", m.Source, s.Point)
		}
	}
	return nil
}

// processors refuses, in Docker's words, CPUs and memory nodes that there are not.
func processors(cpus, mems string) error {
	if cpus == "" && mems == "" {
		return nil
	}
	haveCPUs, haveMems := cgroup.Processors()
	if haveCPUs != "" && !cgroup.Within(cpus, haveCPUs) {
		return invalid("Requested CPUs are not available - requested %s, available: %s", cpus, haveCPUs)
	}
	if haveMems != "" && !cgroup.Within(mems, haveMems) {
		return invalid("Requested memory nodes are not available - requested %s, available: %s", mems, haveMems)
	}
	return nil
}
