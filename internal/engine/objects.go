package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	mobynet "github.com/moby/moby/api/types/network"
	"github.com/opencontainers/go-digest"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/execs"
	"github.com/berth-containers/berth/internal/engine/show"
	bus "github.com/berth-containers/berth/internal/events"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/volume"
)

// objects are networks, images and events, as far as they concern
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

func (c *announcer) tellEndpoint(r *container.Record, action events.Action) {
	c.events.Publish(events.NetworkEventType, action, c.networkID(mobynet.NetworkBridge),
		map[string]string{"container": r.ID, "name": mobynet.NetworkBridge, "type": "bridge"})
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

// networkID is stable for a data root.
func (c *announcer) networkID(name string) string {
	sum := sha256.Sum256([]byte("network " + name + " of " + c.root))
	return hex.EncodeToString(sum[:])
}

func (c *announcer) networkIDs() map[string]string {
	ids := map[string]string{}
	for _, name := range []string{mobynet.NetworkBridge, mobynet.NetworkHost, mobynet.NetworkNone} {
		ids[name] = c.networkID(name)
	}
	return ids
}

// NetworkList lists bridge, host and none; filters name, id, driver, type, scope, label, dangling.
func (o objects) NetworkList(_ context.Context, f Filters) ([]mobynet.Summary, error) {
	list := []mobynet.Summary{}
	for _, name := range []string{mobynet.NetworkBridge, mobynet.NetworkHost, mobynet.NetworkNone} {
		n := o.network(name)
		ok, err := matchNetwork(n, f)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, mobynet.Summary{Network: n})
		}
	}
	return list, nil
}

func matchNetwork(n mobynet.Network, f Filters) (bool, error) {
	for key, values := range f {
		any := len(values) == 0
		for v := range values {
			switch key {
			case "name":
				any = any || strings.Contains(n.Name, v)
			case "id":
				any = any || strings.HasPrefix(n.ID, v)
			case "driver":
				any = any || n.Driver == v
			case "scope":
				any = any || n.Scope == v
			case "type":
				any = any || v == "builtin"
			case "label", "dangling":
				any = any || key == "dangling" && (v == "false" || v == "0")
			default:
				return false, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s'", key))
			}
		}
		if !any {
			return false, nil
		}
	}
	return true, nil
}

func (o objects) network(name string) mobynet.Network {
	n := mobynet.Network{Name: name, ID: o.networkID(name), Created: o.started, Scope: "local", Driver: name, EnableIPv4: true,
		IPAM: mobynet.IPAM{Driver: "default", Config: []mobynet.IPAMConfig{}}, Options: map[string]string{}, Labels: map[string]string{}}
	if name == mobynet.NetworkNone {
		n.Driver = "null"
	}
	if name == mobynet.NetworkBridge {
		g := o.deps.Networks.Gateway()
		n.IPAM.Config = append(n.IPAM.Config, mobynet.IPAMConfig{Subnet: g.Masked(), Gateway: g.Addr()})
		n.Options = map[string]string{"com.docker.network.bridge.default_bridge": "true", "com.docker.network.bridge.enable_icc": "true",
			"com.docker.network.bridge.enable_ip_masquerade": "true", "com.docker.network.bridge.name": o.deps.Networks.Name()}
	}
	return n
}

// NetworkInspect returns one network by name or ID, with its containers.
func (o objects) NetworkInspect(_ context.Context, ref string) (mobynet.Inspect, error) {
	for name, id := range o.networkIDs() {
		if ref != name && (len(ref) < 4 || !strings.HasPrefix(id, ref)) {
			continue
		}
		i := mobynet.Inspect{Network: o.network(name), Containers: map[string]mobynet.EndpointResource{}}
		for _, r := range o.records.All() {
			if string(r.HostConfig.NetworkMode) == name && r.State.Status.Alive() {
				i.Containers[r.ID] = resource(r)
			}
		}
		return i, nil
	}
	return mobynet.Inspect{}, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", ref))
}

func resource(r *container.Record) mobynet.EndpointResource {
	e := mobynet.EndpointResource{Name: r.Name}
	if r.Endpoint != nil {
		e.EndpointID, e.IPv4Address = r.Endpoint.ID, r.Endpoint.IP
		if mac, err := net.ParseMAC(r.Endpoint.MAC); err == nil {
			e.MacAddress = mobynet.HardwareAddr(mac)
		}
	}
	return e
}
