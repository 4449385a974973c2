package engine

import (
	"context"
	"fmt"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/merge"
	"github.com/berth-containers/berth/internal/sys/cgroup"
)

// Update changes limits and the restart policy of a container, at once if it
// runs. Nothing is changed if one of the limits cannot be.
func (v verbs) Update(ctx context.Context, ref string, u api.UpdateConfig) (warnings []string, err error) {
	_, r, end, err := v.begin(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer end()
	host, err := merge.Update(r.HostConfig, u)
	if err != nil {
		return nil, err
	}
	changed := r.Clone()
	changed.HostConfig = host
	in := spaces(v).input(changed)
	in.NetNS, in.PidNS, in.IpcNS, in.UtsNS = "host", "host", "host", "host"
	if err := v.storage.Stacks(ctx, r, &in); err != nil {
		return nil, err
	}
	out, err := v.deps.Spec(in)
	if err != nil {
		return nil, err
	}
	if r.State.Status.Alive() && r.State.CgroupPath != "" {
		limits := *out.Spec.Linux.Resources
		limits.Devices = nil
		if warnings, err = cgroup.Open(r.State.CgroupPath).Update(&limits); err != nil {
			return nil, fmt.Errorf("update the limits of container %s: %w", r.Name, err)
		}
	}
	r = v.records.Update(r.ID, func(r *container.Record) { r.HostConfig = host })
	if err := v.records.Save(r.ID); err != nil {
		return warnings, err
	}
	v.tell(r, events.ActionUpdate, nil)
	return warnings, nil
}
