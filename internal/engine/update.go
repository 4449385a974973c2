package engine

import (
	"context"
	"fmt"
	"os"
	"reflect"

	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/merge"
	"github.com/berth-containers/berth/internal/engine/mounts"
	"github.com/berth-containers/berth/internal/engine/ports"
	"github.com/berth-containers/berth/internal/engine/revise"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/undo"
)

// Update changes a container: limits, restart policy, labels and published ports
// at once, its environment and mounts at the next start. Nothing is changed if
// one of them cannot be.
func (v verbs) Update(ctx context.Context, ref string, u UpdateOptions) (warnings []string, err error) {
	_, r, end, err := v.begin(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer end()
	ctx = context.WithoutCancel(ctx) // a client that goes away does not leave it half-changed
	var back undo.Stack
	defer back.OnError(ctx, &err)
	changed, err := v.revised(ctx, r, u, &back)
	if err != nil {
		return nil, err
	}
	in := spaces(v).input(changed)
	in.NetNS, in.PidNS, in.IpcNS, in.UtsNS = "host", "host", "host", "host"
	if err := v.storage.Stacks(ctx, r, &in); err != nil {
		return nil, err
	}
	out, err := v.deps.Spec(in)
	if err != nil {
		return nil, err
	}
	if r.State.Status.Alive() {
		if err := v.republish(ctx, r, changed, u.Changes, &back); err != nil {
			return nil, err
		}
		if u.Env() || u.Changes.Mounts() {
			warnings = append(warnings, "environment and mounts change at the next start of the container")
		}
	}
	if r.State.CgroupPath != "" && r.State.Status.Alive() && !reflect.DeepEqual(r.HostConfig.Resources, changed.HostConfig.Resources) {
		limits := *out.Spec.Linux.Resources
		limits.Devices = nil
		more, err := cgroup.Open(r.State.CgroupPath).Update(&limits)
		if err != nil {
			return nil, fmt.Errorf("update the limits of container %s: %w", r.Name, err)
		}
		warnings = append(warnings, more...)
	}
	after := v.records.Update(r.ID, func(r *container.Record) {
		r.Config, r.HostConfig, r.NextMounts, r.Networks = changed.Config, changed.HostConfig, changed.NextMounts, changed.Networks
	})
	if err := v.records.Save(r.ID); err != nil {
		v.records.Update(r.ID, func(now *container.Record) {
			now.Config, now.HostConfig, now.NextMounts, now.Networks = r.Config, r.HostConfig, r.NextMounts, r.Networks
		})
		return nil, err
	}
	v.quietly("let go of mounts", func() error { return v.storage.Leave(ctx, r.ID, r.NextMounts, after.AllMounts()) })
	v.tell(after, events.ActionUpdate, nil)
	return warnings, nil
}

// revised is the record as it is to be; what it needs is made, and goes by back.
func (v verbs) revised(ctx context.Context, r *container.Record, u UpdateOptions, back *undo.Stack) (*container.Record, error) {
	changed := r.Clone()
	var err error
	if changed.HostConfig, err = merge.Update(r.HostConfig, u.UpdateConfig); err != nil {
		return nil, err
	}
	if changed.HostConfig, err = revise.HostConfig(changed.HostConfig, u.Changes); err != nil {
		return nil, err
	}
	if changed.Config, err = revise.Config(r.Config, u.Changes); err != nil {
		return nil, err
	}
	if err := merge.CheckConfig(changed.Config); err != nil {
		return nil, err
	}
	if _, err := ports.Bindings(changed.Config, changed.HostConfig); err != nil {
		return nil, err
	}
	if !u.Changes.Mounts() {
		return changed, nil
	}
	plans, err := mounts.Added(u.MountsAdd)
	if err != nil {
		return nil, err
	}
	added, err := v.storage.Provide(ctx, r.ID, plans, back)
	if err != nil {
		return nil, err
	}
	old := r.NextMounts
	if old == nil {
		old = r.Mounts
	}
	changed.NextMounts, err = revise.Remount(old, added, r.HostConfig.Tmpfs, u.Changes)
	return changed, err
}

// republish has a running container's ports published as changed says.
func (v verbs) republish(ctx context.Context, r, changed *container.Record, ch revise.Changes, back *undo.Stack) error {
	if !ch.Ports() || len(r.Endpoints()) == 0 {
		return nil
	}
	want, err := ports.Bindings(changed.Config, changed.HostConfig)
	if err != nil {
		return err
	}
	before := r.Ports()
	next, err := v.deps.Networks.Republish(ctx, r.ID, want)
	if err != nil {
		return err
	}
	back.Add(func(ctx context.Context) error {
		_, err := v.deps.Networks.Republish(ctx, r.ID, before)
		return err
	})
	changed.SetEndpoints(next.Endpoints)
	return nil
}

// remount makes the mounts of the next start those of now.
func (c *core) remount(ctx context.Context, r *container.Record) (*container.Record, error) {
	if r.NextMounts == nil {
		return r, nil
	}
	next := r.Clone()
	next.Mounts, next.NextMounts = r.NextMounts, nil
	rootfs, err := c.deps.Rootfs.Rootfs(ctx, r.ID)
	if err != nil {
		return nil, fmt.Errorf("find the root filesystem: %w", err)
	}
	if err := c.storage.Fill(ctx, next, rootfs.Lowers, func() (*os.File, error) { return filing{c}.image(ctx, next) }); err != nil {
		return nil, err
	}
	if err := c.storage.Leave(ctx, r.ID, r.Mounts, next.Mounts); err != nil {
		return nil, err
	}
	return c.records.Update(r.ID, func(r *container.Record) { r.Mounts, r.NextMounts = next.Mounts, nil }), nil
}
