package engine

import (
	"context"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/events"
	"github.com/opencontainers/go-digest"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/execs"
	"github.com/berth-containers/berth/internal/engine/show"
	bus "github.com/berth-containers/berth/internal/events"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/volume"
)

// objects are images and events, as far as they concern
// containers.
type objects struct {
	*core
	lock *os.File
}

// Events yields what happened and happens.
func (o objects) Events(ctx context.Context, q EventsOptions, yield func(events.Message) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	o.background.Go(func() {
		select {
		case <-o.closing:
			cancel()
		case <-stop:
		}
	})
	return o.events.Subscribe(ctx, bus.Query{Since: q.Since, Until: q.Until, Filters: q.Filters}, yield)
}

// tell publishes what happened to a container, with Docker's attributes.
func (c *announcer) tell(r *container.Record, action events.Action, more map[string]string) {
	if r == nil {
		return
	}
	a := maps.Clone(r.Config.Labels)
	if a == nil {
		a = map[string]string{}
	}
	a["name"], a["image"] = r.Name, show.ImageName(r)
	maps.Copy(a, more)
	c.events.Publish(events.ContainerEventType, action, r.ID, a)
}

func (c *announcer) tellExec(r *container.Record, action events.Action, e *execs.Exec) {
	c.tell(r, action+events.Action(": "+strings.Join(e.Request.Cmd, " ")), map[string]string{"execID": e.ID})
}

func (c *announcer) tellVolume(name string, action events.Action, more map[string]string) {
	a := map[string]string{}
	if name != "" { // a prune is of none
		a["driver"] = volume.Driver
	}
	maps.Copy(a, more)
	c.events.Publish(events.VolumeEventType, action, name, a)
}

func (c *announcer) tellPrune(kind events.Type, reclaimed uint64) {
	c.events.Publish(kind, events.ActionPrune, "", map[string]string{"reclaimed": strconv.FormatUint(reclaimed, 10)})
}

// ImageEvent tells what the server did with an image.
func (o objects) ImageEvent(action events.Action, id, name string) {
	o.events.Publish(events.ImageEventType, action, id, map[string]string{"name": name})
}

// RemoveImage removes an image that no container uses.
func (o objects) RemoveImage(ctx context.Context, ref string, force bool) ([]image.Removed, error) {
	removed, err := o.deps.Images.Remove(ctx, ref, force, func(id digest.Digest) string {
		for _, r := range o.records.All() {
			if r.ImageID == id || slices.ContainsFunc(r.Mounts, func(m container.Mount) bool { return m.Layers != "" && m.ImageID == id }) {
				return r.ID
			}
		}
		return ""
	})
	for _, r := range removed {
		if r.Untagged != "" {
			o.ImageEvent(events.ActionUnTag, r.Untagged, r.Untagged)
		} else {
			o.ImageEvent(events.ActionDelete, r.Deleted, r.Deleted)
		}
	}
	return removed, err
}
