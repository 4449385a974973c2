package engine

import (
	"context"
	"time"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/system"

	"github.com/berth-containers/berth/internal/engine/about"
	"github.com/berth-containers/berth/internal/engine/ps"
	"github.com/berth-containers/berth/internal/network/definition"
)

// Top lists the container's processes as ps with these arguments does.
func (q queries) Top(_ context.Context, ref string, psArgs string) (api.TopResponse, error) {
	r, err := q.records.Find(ref)
	if err != nil {
		return api.TopResponse{}, err
	}
	if !r.State.Status.Alive() {
		return api.TopResponse{}, notRunning(r)
	}
	t, err := ps.List(ps.Pids(r.State.CgroupPath, r.State.Pid), psArgs, time.Now())
	if err != nil {
		return api.TopResponse{}, err
	}
	q.tell(r, "top", nil)
	return api.TopResponse{Titles: t.Titles, Processes: t.Rows}, nil
}

// Info describes the engine and its host.
func (q queries) Info(ctx context.Context) (system.Info, error) {
	images, err := q.deps.Images.List(ctx)
	if err != nil {
		return system.Info{}, err
	}
	i := about.Info(about.Engine{ID: definition.BuiltinID(q.root, "engine"), Root: q.cfg.DataRoot, Version: q.cfg.Version, InitBinary: q.cfg.InitBinary, LogDriver: q.cfg.Log.Shown(), CgroupV2: q.cfg.CgroupV2,
		AppArmor: q.cfg.AppArmor, Userns: len(q.cfg.Users.UIDs) > 0, CDIDirs: q.cfg.CDIDirs, Registries: q.cfg.Registries})
	i.Labels = append(i.Labels, q.cfg.Labels...)
	i.Images, i.NEventsListener = len(images), q.events.Listeners()
	about.Count(q.records.All(), &i)
	return i, nil
}
