package engine

import (
	"slices"
	"testing"

	api "github.com/moby/moby/api/types/container"
	mobyvol "github.com/moby/moby/api/types/volume"

	"github.com/berth-containers/berth/internal/image"
)

func labelled(value string) mod {
	return func(o *CreateOptions) { o.Config.Labels = map[string]string{"l": value} }
}

func TestPruneContainers(t *testing.T) {
	b := newBench(t)
	runs, kept, goes := b.run(named("runs")), b.create(named("kept"), labelled("keep")), b.create(named("goes"))
	not := Filters{"label!": {"l=keep": true}}
	if _, err := b.PruneContainers(t.Context(), Filters{"status": {"exited": true}}); err == nil {
		t.Error("a filter that there is not was accepted")
	}
	if report, err := b.PruneContainers(t.Context(), Filters{"until": {"1h": true}}); err != nil || len(report.ContainersDeleted) != 0 {
		t.Errorf("older than an hour: %+v, %v", report, err)
	}
	report, err := b.PruneContainers(t.Context(), not)
	if err != nil || !slices.Equal(report.ContainersDeleted, []string{goes}) {
		t.Errorf("%+v, %v", report, err)
	}
	list, err := b.List(t.Context(), ListOptions{All: true})
	left := func(id string) bool {
		return slices.ContainsFunc(list, func(s api.Summary) bool { return s.ID == id })
	}
	if err != nil || len(list) != 2 || !left(runs) || !left(kept) {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestPruneVolumes(t *testing.T) {
	b := newBench(t)
	b.create(func(o *CreateOptions) { o.Config.Volumes = map[string]struct{}{"/used": {}} })
	free, err := b.VolumeCreate(t.Context(), mobyvol.CreateRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.VolumeCreate(t.Context(), mobyvol.CreateRequest{Name: "named"}); err != nil {
		t.Fatal(err)
	}
	report, err := b.PruneVolumes(t.Context(), nil, false)
	if err != nil || !slices.Equal(report.VolumesDeleted, []string{free.Name}) {
		t.Errorf("anonymous: %+v, %v", report, err)
	}
	usage, err := b.VolumeUsage(t.Context())
	if err != nil || len(usage) != 2 {
		t.Fatalf("%+v, %v", usage, err)
	}
	for _, v := range usage {
		if users := map[bool]int64{true: 0, false: 1}[v.Name == "named"]; v.UsageData.RefCount != users || v.UsageData.Size <= 0 {
			t.Errorf("%s: %+v", v.Name, v.UsageData)
		}
	}
	report, err = b.PruneVolumes(t.Context(), nil, true)
	if err != nil || !slices.Equal(report.VolumesDeleted, []string{"named"}) {
		t.Errorf("all: %+v, %v", report, err)
	}
}

func TestPruneImages(t *testing.T) {
	b := newBench(t)
	id := b.create()
	if removed, err := b.PruneImages(t.Context(), []image.Image{testImage()}); err != nil || len(removed) != 0 {
		t.Errorf("one in use: %+v, %v", removed, err)
	}
	if err := b.Remove(t.Context(), id, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if removed, err := b.PruneImages(t.Context(), []image.Image{testImage()}); err != nil || len(removed) != 1 {
		t.Errorf("%+v, %v", removed, err)
	}
}
