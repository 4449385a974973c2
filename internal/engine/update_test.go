package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	mobynet "github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/revise"
	"github.com/berth-containers/berth/internal/network"
)

func (n fakeNetworks) Republish(_ context.Context, containerID string, ports []container.Port) (network.Places, error) {
	if err := n.step("network.Republish"); err != nil {
		return network.Places{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.of(containerID).Endpoints[0]
	e.Ports = ports
	n.endpoints[e.ID] = e
	return n.of(containerID), nil
}

// What is changed while it runs, at once and at the next start, and over an engine.
func TestUpdateBeyondLimits(t *testing.T) {
	b := newBench(t)
	id := b.run(func(o *CreateOptions) {
		o.HostConfig.Mounts = []mount.Mount{{Type: mount.TypeVolume, Source: "old", Target: "/old"}}
		o.HostConfig.PortBindings = mobynet.PortMap{mobynet.MustParsePort("80/tcp"): {{HostPort: "8080"}}}
	})
	warnings, err := b.Update(t.Context(), id, UpdateOptions{Changes: revise.Changes{EnvAdd: []string{"A=1"}, LabelsAdd: map[string]string{"x": "y"},
		MountsAdd: []mount.Mount{{Type: mount.TypeVolume, Source: "new", Target: "/new"}}, MountsRemove: []string{"/old"},
		PortBindingsAdd: mobynet.PortMap{mobynet.MustParsePort("81/tcp"): {{HostPort: "8081"}}}, PortBindingsRemove: []string{"8080:80"}}})
	if err != nil || len(warnings) != 1 {
		t.Fatal(warnings, err)
	}
	r := b.record(id)
	if !slices.Contains(r.Config.Env, "A=1") || r.Config.Labels["x"] != "y" || len(r.Mounts) != 1 || r.Mounts[0].Name != "old" {
		t.Errorf("%+v", r)
	}
	if p := r.Ports(); len(p) != 1 || p[0].HostPort != 8081 || p[0].ContainerPort != 81 {
		t.Errorf("ports: %+v", p)
	}
	for _, volume := range []string{"old", "new"} {
		wantError(t, b.VolumeRemove(t.Context(), volume, false), errdefs.IsConflict, "volume is in use")
	}
	b.reopen(func() {})
	wantError(t, b.VolumeRemove(t.Context(), "new", false), errdefs.IsConflict, "volume is in use")
	if err := b.Restart(t.Context(), id, "", nil); err != nil {
		t.Fatal(err)
	}
	if r := b.record(id); r.ID != id || len(r.Mounts) != 1 || r.Mounts[0].Name != "new" || r.NextMounts != nil {
		t.Errorf("after the restart: %+v", r.Mounts)
	}
	if err := b.VolumeRemove(t.Context(), "old", false); err != nil {
		t.Error(err)
	}
}

func TestUpdateIsWholeOrNot(t *testing.T) {
	b := newBench(t)
	id := b.run()
	before := b.record(id)
	b.w.setFail("network.Republish", errors.New("no"))
	for what, u := range map[string]UpdateOptions{
		"a port": {Changes: revise.Changes{LabelsAdd: map[string]string{"x": "y"}, PortBindingsAdd: mobynet.PortMap{mobynet.MustParsePort("81/tcp"): nil},
			MountsAdd: []mount.Mount{{Type: mount.TypeVolume, Source: "new", Target: "/new"}}}},
		"a label":  {Changes: revise.Changes{LabelsRemove: []string{"none"}, EnvAdd: []string{"A=1"}}},
		"a mount":  {Changes: revise.Changes{MountsRemove: []string{"/none"}, MountsAdd: []mount.Mount{{Type: mount.TypeVolume, Source: "new", Target: "/new"}}}},
		"a policy": {UpdateConfig: api.UpdateConfig{RestartPolicy: api.RestartPolicy{Name: "sometimes"}}, Changes: revise.Changes{EnvAdd: []string{"A=1"}}},
	} {
		if _, err := b.Update(t.Context(), id, u); err == nil {
			t.Errorf("%s was taken", what)
		}
		if r := b.record(id); fmt.Sprint(r) != fmt.Sprint(before) || r.Config != before.Config {
			t.Errorf("%s: %+v, before %+v", what, r, before)
		}
		if _, err := b.VolumeInspect(t.Context(), "new"); !errdefs.IsNotFound(err) {
			t.Errorf("%s: its volume stays: %v", what, err)
		}
	}
}

// A volume that an update takes back before the next start is nobody's any more,
// and one that the container has stays its own whatever becomes of an update.
func TestUpdateLetsGo(t *testing.T) {
	b := newBench(t)
	id := b.run(func(o *CreateOptions) {
		o.HostConfig.Mounts = []mount.Mount{{Type: mount.TypeVolume, Source: "own", Target: "/own"}}
	})
	update := func(c revise.Changes) error {
		_, err := b.Update(t.Context(), id, UpdateOptions{Changes: c})
		return err
	}
	add := func(volume, target string) revise.Changes {
		return revise.Changes{MountsAdd: []mount.Mount{{Type: mount.TypeVolume, Source: volume, Target: target}}}
	}
	if err := errors.Join(update(add("late", "/late")), update(revise.Changes{MountsRemove: []string{"/late"}}), b.VolumeRemove(t.Context(), "late", false)); err != nil {
		t.Error(err)
	}
	refused := add("own", "/again")
	refused.MountsRemove = []string{"/none"}
	if err := update(refused); err == nil {
		t.Error("a mount that there is not was taken away")
	}
	wantError(t, b.VolumeRemove(t.Context(), "own", false), errdefs.IsConflict, "volume is in use")
	if err := update(revise.Changes{MountsRemove: []string{"/own"}}); err != nil {
		t.Fatal(err)
	}
	b.reopen(func() {})
	if err := b.Restart(t.Context(), id, "", nil); err != nil {
		t.Fatal(err)
	}
	if r := b.record(id); len(r.Mounts) != 0 {
		t.Errorf("the last mount is still there: %+v", r.Mounts)
	}
	if err := b.VolumeRemove(t.Context(), "own", false); err != nil {
		t.Error(err)
	}
}
