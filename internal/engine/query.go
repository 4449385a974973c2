package engine

import (
	"context"
	"time"

	api "github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/logging"
	"github.com/berth-containers/berth/internal/engine/show"
	"github.com/berth-containers/berth/internal/spec"
)

// queries look and change nothing; they wait for no container.
type queries struct{ *core }

// List returns the containers that pass the filters, the newest first: those
// that run, or with All, Limit or a filter on a state every one.
func (q queries) List(ctx context.Context, o ListOptions) ([]api.Summary, error) {
	filter, err := show.NewFilter(o.Filters, show.Find{Container: q.records.Find, Image: func(ref string) (string, error) {
		img, err := q.deps.Images.Get(ctx, ref)
		return img.ID.String(), err
	}, Health: q.healthIs})
	if err != nil {
		return nil, err
	}
	all := o.All || o.Limit > 0 || filter.All()
	facts := show.Facts{Now: time.Now()}
	list := []api.Summary{}
	for _, r := range q.records.All() {
		if !all && !r.State.Status.Alive() && r.State.Status != container.Restarting || !filter.Match(r) {
			continue
		}
		f := facts
		f.Health = q.lives.Health(r.ID)
		if o.Size {
			q.size(ctx, r, &f)
		}
		list = append(list, show.Summary(r, f))
		if o.Limit > 0 && len(list) == o.Limit {
			break
		}
	}
	return list, nil
}

// Inspect returns everything about a container.
func (q queries) Inspect(ctx context.Context, ref string, size bool) (api.InspectResponse, error) {
	r, err := q.records.Find(ref)
	if err != nil {
		return api.InspectResponse{}, err
	}
	f := show.Facts{Now: time.Now(), Health: q.lives.Health(r.ID), Dir: q.dir(r.ID), AppArmor: spec.AppArmorProfile(r.HostConfig, q.cfg.AppArmor), ExecIDs: q.execs.Running(r.ID),
		LogPath: logging.Path(r, q.dir(r.ID), q.logDir(r.ID))}
	if fs, err := q.deps.Rootfs.Rootfs(ctx, r.ID); err == nil {
		f.Rootfs = &fs
	}
	if size {
		q.size(ctx, r, &f)
	}
	return show.Inspect(r, f), nil
}
