package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/logging"
	"github.com/berth-containers/berth/internal/engine/merge"
	"github.com/berth-containers/berth/internal/engine/mounts"
	"github.com/berth-containers/berth/internal/engine/names"
	"github.com/berth-containers/berth/internal/engine/networks"
	"github.com/berth-containers/berth/internal/engine/ports"
	"github.com/berth-containers/berth/internal/engine/storage"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/undo"
)

// verbs change containers.
type verbs struct{ *core }

// Create makes a container without running it. On failure nothing is left.
func (v verbs) Create(ctx context.Context, o CreateOptions) (id string, warnings []string, err error) {
	if o.Config == nil {
		return "", nil, errdefs.ErrInvalidArgument.WithMessage("Config cannot be empty in order to create a container")
	}
	img, err := v.deps.Images.Get(ctx, o.Config.Image)
	if err != nil {
		return "", nil, err
	}
	if err := img.For(o.Platform); err != nil {
		return "", nil, err
	}
	r, plans, err := v.draft(o, img)
	if err != nil {
		return "", nil, err
	}
	var back undo.Stack
	defer back.OnError(ctx, &err)
	if r.Name, err = v.reserve(o.Name, r.ID); err != nil {
		return "", nil, err
	}
	back.Add(func(context.Context) error { v.records.Unreserve(r.Name, r.ID); return nil })
	if r.Mounts, err = v.storage.Provide(ctx, r.ID, plans, &back); err != nil {
		return "", nil, err
	}
	warnings, err = v.check(ctx, r)
	if err != nil {
		return "", nil, err
	}
	back.Add(func(context.Context) error { return os.RemoveAll(v.dir(r.ID)) })
	if err := v.makeDir(r); err != nil {
		return "", nil, fmt.Errorf("make the container's directory: %w", err)
	}
	back.Add(func(ctx context.Context) error { return v.deps.Rootfs.RemoveRootfs(ctx, r.ID) })
	rootfs, err := v.deps.Rootfs.PrepareRootfs(ctx, img, r.ID)
	if err != nil {
		return "", nil, fmt.Errorf("prepare the root filesystem: %w", err)
	}
	if err := v.storage.Limit(r, rootfs); err != nil {
		return "", nil, err
	}
	if err := v.storage.Fill(ctx, r, rootfs.Lowers, func() (*os.File, error) { return filing(v).image(ctx, r) }); err != nil {
		return "", nil, err
	}
	v.lives.Add(r.ID)
	back.Add(func(context.Context) error { v.lives.Drop(r.ID); v.records.Forget(r.ID); return nil })
	v.records.Publish(r)
	if err := v.records.Save(r.ID); err != nil {
		return "", nil, err
	}
	v.tell(r, events.ActionCreate, nil)
	return r.ID, warnings, nil
}

func (v verbs) makeDir(r *container.Record) error {
	err := os.MkdirAll(v.logDir(r.ID), 0o711)
	if err == nil && r.HostConfig.LogConfig.Type == logs.DriverJSONFile && r.LogDriver == "" {
		err = os.Symlink(filepath.Join("logs", logs.FileName), logging.Link(v.dir(r.ID), r.ID))
	}
	return err
}

// draft is the record of what was asked for, as far as it can be told without
// making anything.
func (v verbs) draft(o CreateOptions, img image.Image) (*container.Record, []mounts.Plan, error) {
	c := merge.Config(o.Config, img.Config)
	if err := merge.CheckConfig(c); err != nil {
		return nil, nil, err
	}
	h := merge.HostConfig(o.HostConfig, v.cfg.CgroupV2)
	var logDriver string
	h.LogConfig, logDriver = v.cfg.Log.Choose(h.LogConfig)
	if err := merge.CheckHostConfig(h, c); err != nil {
		return nil, nil, err
	}
	if _, err := ports.Bindings(c, h); err != nil {
		return nil, nil, err
	}
	if err := networks.CheckLinks(h, v.records.Find); err != nil {
		return nil, nil, err
	}
	attached, err := networks.Attachments(c, h, o.NetworkingConfig, v.deps.Networks.Networks())
	if err != nil {
		return nil, nil, err
	}
	r := &container.Record{ID: names.NewID(), Created: time.Now().UTC(), Image: o.Config.Image, ImageID: img.ID,
		Config: c, HostConfig: h, Networks: attached, LogDriver: logDriver, State: container.State{Status: container.Created}}
	if err := v.joinNames(h); err != nil {
		return nil, nil, err
	}
	if err := setHostname(r); err != nil {
		return nil, nil, err
	}
	if _, err := storage.LayerSize(h.StorageOpt); err != nil {
		return nil, nil, err
	}
	plans, err := mounts.Read(c, h, v.records.Find)
	return r, plans, err
}

// joinNames replaces names of other containers by their IDs: a name may be
// given to another container later.
func (v verbs) joinNames(h *api.HostConfig) error {
	id := func(ref string) (string, error) {
		r, err := v.records.Find(ref)
		if err != nil {
			// Not of the kind NotFound: a client would pull the image.
			return "", errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
		return "container:" + r.ID, nil
	}
	if h.NetworkMode.IsContainer() {
		s, err := id(h.NetworkMode.ConnectedContainer())
		if err != nil {
			return err
		}
		h.NetworkMode = api.NetworkMode(s)
	}
	if h.PidMode.IsContainer() {
		s, err := id(h.PidMode.Container())
		if err != nil {
			return err
		}
		h.PidMode = api.PidMode(s)
	}
	if h.IpcMode.IsContainer() {
		s, err := id(h.IpcMode.Container())
		if err != nil {
			return err
		}
		h.IpcMode = api.IpcMode(s)
	}
	return nil
}

func setHostname(r *container.Record) error {
	c, h := r.Config, r.HostConfig
	switch {
	case c.Hostname != "" || h.NetworkMode.IsContainer():
	case h.NetworkMode.IsHost() || h.UTSMode.IsHost():
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("read the host's name: %w", err)
		}
		c.Hostname = name
	default:
		c.Hostname = r.ID[:12]
	}
	return nil
}

func (v verbs) reserve(name, id string) (string, error) {
	if name == "" {
		return names.Pick(func(n string) error { return v.records.Reserve(n, id) })
	}
	name, err := names.Check(name)
	if err != nil {
		return "", err
	}
	return name, v.records.Reserve(name, id)
}

// check builds the specification once, so that a wrong option is refused at
// create and its warnings reach the user.
func (v verbs) check(ctx context.Context, r *container.Record) ([]string, error) {
	in := spaces(v).input(r)
	in.Group = nil // there are no files yet
	in.HostnameFile = filepath.Join(v.dir(r.ID), "hostname")
	if err := v.storage.Stacks(ctx, r, &in); err != nil {
		return nil, err
	}
	out, err := v.deps.Spec(in)
	return out.Warnings, err
}
