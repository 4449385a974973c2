package storage

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	api "github.com/moby/moby/api/types/volume"

	"github.com/berth-containers/berth/internal/engine/host"
	"github.com/berth-containers/berth/internal/engine/names"
	"github.com/berth-containers/berth/internal/filters"
	"github.com/berth-containers/berth/internal/volume"
)

// Volumes are the verbs of the API about volumes.
type Volumes struct{ *Store }

// VolumeCreate makes a volume, or returns the one of that name.
func (s Volumes) VolumeCreate(_ context.Context, q api.CreateRequest) (api.Volume, error) {
	if q.ClusterVolumeSpec != nil {
		return api.Volume{}, errdefs.ErrUnavailable.WithMessage("this node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again")
	}
	if q.Name == "" {
		q.Name = names.NewID()
		q.Labels = maps.Clone(q.Labels)
		if q.Labels == nil {
			q.Labels = map[string]string{}
		}
		q.Labels[volume.AnonymousLabel] = ""
	}
	v, created, err := s.volumes.Create(volume.Request{Name: q.Name, Driver: q.Driver, Options: q.DriverOpts, Labels: q.Labels})
	if err != nil {
		return api.Volume{}, err
	}
	if created {
		s.Tell(v.Name, events.ActionCreate, nil)
	}
	return show(v), nil
}

func show(v volume.Volume) api.Volume {
	full := func(m map[string]string) map[string]string {
		if m == nil {
			return map[string]string{}
		}
		return m
	}
	return api.Volume{Name: v.Name, Driver: volume.Driver, Mountpoint: v.Path, Labels: full(v.Labels), Scope: "local",
		CreatedAt: v.Created.Format(time.RFC3339), Options: full(v.Options)}
}

// VolumeList lists volumes; filters name, label, driver, dangling.
func (s Volumes) VolumeList(_ context.Context, f filters.Filters) (api.ListResponse, error) {
	list := api.ListResponse{Volumes: []api.Volume{}, Warnings: []string{}}
	if err := filters.Only(f, "name", "label", "driver", "dangling"); err != nil {
		return list, err
	}
	for text := range f["dangling"] {
		if _, err := strconv.ParseBool(text); err != nil {
			return list, errdefs.ErrInvalidArgument.WithMessage("invalid filter 'dangling=[" + text + "]'")
		}
	}
	for _, v := range s.volumes.List() {
		if s.match(v, f) {
			list.Volumes = append(list.Volumes, show(v))
		}
	}
	return list, nil
}

func (s Volumes) match(v volume.Volume, f filters.Filters) bool {
	match := func(key string, ok func(value string) bool) bool { return filters.Any(f, key, ok) }
	return match("name", func(text string) bool { return strings.Contains(v.Name, text) }) &&
		match("driver", func(text string) bool { return text == volume.Driver }) &&
		match("dangling", func(text string) bool {
			want, err := strconv.ParseBool(text)
			return err == nil && want == (len(s.volumes.Users(v.Name)) == 0)
		}) &&
		filters.Labels(v.Labels, f)
}

// VolumeInspect returns one volume.
func (s Volumes) VolumeInspect(_ context.Context, name string) (api.Volume, error) {
	v, err := s.volumes.Get(name)
	if err != nil {
		return api.Volume{}, err
	}
	return show(v), nil
}

// VolumeRemove removes a volume that no container uses; with force a missing
// one is no error.
func (s Volumes) VolumeRemove(_ context.Context, name string, force bool) error {
	err := s.volumes.Remove(name)
	if force && errdefs.IsNotFound(err) {
		return nil
	}
	if err == nil {
		s.Tell(name, events.ActionDestroy, nil)
	}
	return err
}

// VolumeUsage is every volume with its size and the number of its users.
func (s Volumes) VolumeUsage(ctx context.Context) ([]api.Volume, error) {
	list := []api.Volume{}
	for _, v := range s.volumes.List() {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		shown := show(v)
		shown.UsageData = &api.UsageData{RefCount: int64(len(s.volumes.Users(v.Name))), Size: size(v)}
		list = append(list, shown)
	}
	return list, nil
}

// size is -1, not known, for what lies on a filesystem of the volume's own.
func size(v volume.Volume) int64 {
	if v.Mounted() {
		return -1
	}
	return host.DiskUsage(v.Path)
}

// PruneVolumes removes the volumes that no container uses; only anonymous ones
// unless all. Filters label and label!.
func (s Volumes) PruneVolumes(_ context.Context, f filters.Filters, all bool) (api.PruneReport, error) {
	report := api.PruneReport{VolumesDeleted: []string{}}
	if err := filters.Only(f, "label", "label!"); err != nil {
		return report, err
	}
	for _, v := range s.volumes.List() {
		_, anonymous := v.Labels[volume.AnonymousLabel]
		if !all && !anonymous || !filters.Labels(v.Labels, f) || len(s.volumes.Users(v.Name)) > 0 {
			continue
		}
		freed := max(size(v), 0)
		err := s.volumes.Remove(v.Name)
		if unlessUsed(err) != nil {
			return report, err
		}
		if err != nil {
			continue
		}
		s.Tell(v.Name, events.ActionDestroy, nil)
		report.VolumesDeleted = append(report.VolumesDeleted, v.Name)
		report.SpaceReclaimed += uint64(freed)
	}
	s.Tell("", events.ActionPrune, map[string]string{"reclaimed": strconv.FormatUint(report.SpaceReclaimed, 10)})
	return report, nil
}
