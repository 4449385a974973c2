package engine

import (
	"context"
	"slices"
	"strconv"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	mobynet "github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/files"
	"github.com/berth-containers/berth/internal/engine/networks"
	"github.com/berth-containers/berth/internal/engine/ports"
	"github.com/berth-containers/berth/internal/network"
)

// wiring is networks, and the containers in them.
type wiring struct{ *core }

// NetworkList lists networks; filters name, id, driver, type, scope, label, dangling.
func (w wiring) NetworkList(_ context.Context, f Filters) ([]mobynet.Summary, error) {
	filter, err := networks.NewFilter(f)
	if err != nil {
		return nil, err
	}
	list, records := []mobynet.Summary{}, w.records.All()
	for _, n := range w.deps.Networks.Networks() {
		if filter.Match(n, len(networks.Containers(n, records)) > 0) {
			list = append(list, mobynet.Summary{Network: n})
		}
	}
	return list, nil
}

// NetworkInspect returns one network by name or ID, with its containers.
func (w wiring) NetworkInspect(_ context.Context, ref string) (mobynet.Inspect, error) {
	n, err := networks.Find(w.deps.Networks.Networks(), ref)
	if err != nil {
		return mobynet.Inspect{}, err
	}
	return mobynet.Inspect{Network: n, Containers: networks.Containers(n, w.records.All()), Status: w.deps.Networks.Status(n.ID)}, nil
}

// NetworkCreate makes a network.
func (w wiring) NetworkCreate(ctx context.Context, q mobynet.CreateRequest) (id string, err error) {
	n, err := w.deps.Networks.Create(ctx, q)
	if err != nil {
		return "", err
	}
	w.tellNetwork(n, events.ActionCreate, "")
	return n.ID, nil
}

// NetworkRemove takes a network away that no running container is in.
func (w wiring) NetworkRemove(ctx context.Context, ref string) error {
	n, err := networks.Find(w.deps.Networks.Networks(), ref)
	if err != nil {
		return err
	}
	if err := networks.Removable(n, w.records.All()); err != nil {
		return err
	}
	if err := w.deps.Networks.Remove(ctx, n.ID); err != nil {
		return err
	}
	w.tellNetwork(n, events.ActionDestroy, "")
	return nil
}

// PruneNetworks removes the networks that no running container is in; filters
// until, label and label!.
func (w wiring) PruneNetworks(ctx context.Context, f Filters) (mobynet.PruneReport, error) {
	report := mobynet.PruneReport{NetworksDeleted: []string{}}
	filter, err := networks.NewPrune(f)
	if err != nil {
		return report, err
	}
	for _, n := range w.deps.Networks.Networks() {
		if !filter.Match(n, false) {
			continue
		}
		err := w.NetworkRemove(ctx, n.ID)
		if errdefs.IsNotFound(err) || errdefs.IsPermissionDenied(err) { // gone, or in use
			continue
		}
		if err != nil {
			return report, err
		}
		report.NetworksDeleted = append(report.NetworksDeleted, n.Name)
	}
	w.tellPrune(events.NetworkEventType, 0)
	return report, nil
}

// NetworkConnect puts a container into one more network: at once if it runs,
// and whenever it starts.
func (w wiring) NetworkConnect(ctx context.Context, ref string, q mobynet.ConnectRequest) error {
	n, err := networks.Find(w.deps.Networks.Networks(), ref)
	if err != nil {
		return err
	}
	_, r, end, err := w.begin(ctx, q.Container)
	if err != nil {
		return err
	}
	defer end()
	if err := changeable(r); err != nil {
		return err
	}
	a, err := networks.Attach(r, n, q.EndpointConfig)
	if err != nil {
		return err
	}
	attached := slices.DeleteFunc(slices.Clone(r.Networks), func(o container.Attachment) bool { return o.Network == n.Name })
	attached = append(attached, a)
	if !r.State.Status.Alive() {
		w.records.Update(r.ID, func(r *container.Record) { r.Networks = attached })
		return w.records.Save(r.ID)
	}
	published, err := ports.Bindings(r.Config, r.HostConfig)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // the answer may be lost, the change must not be half
	now, err := w.deps.Networks.Connect(ctx, sandboxPath(r), request(r, attached, []network.Join{networks.Join(r, a)}, published))
	if err != nil {
		return err
	}
	if err := w.rewire(r, attached, now); err != nil {
		return err
	}
	w.tellNetwork(n, events.ActionConnect, r.ID)
	return nil
}

// NetworkDisconnect takes a container out of a network; with Force also one
// that is not there any more.
func (w wiring) NetworkDisconnect(ctx context.Context, ref string, q mobynet.DisconnectRequest) error {
	n, err := networks.Find(w.deps.Networks.Networks(), ref)
	if err != nil && !(q.Force && errdefs.IsNotFound(err)) {
		return err
	}
	if err != nil { // the network is gone, but not what containers remember of it
		n = mobynet.Network{Name: ref, ID: ref}
	}
	_, r, end, err := w.begin(ctx, q.Container)
	if err != nil {
		return err
	}
	defer end()
	if err := changeable(r); err != nil {
		return err
	}
	left, err := networks.Detach(r, n)
	if err != nil {
		return err
	}
	if !r.State.Status.Alive() {
		w.records.Update(r.ID, func(r *container.Record) { r.Networks = left })
		return w.records.Save(r.ID)
	}
	now, err := w.deps.Networks.Disconnect(context.WithoutCancel(ctx), sandboxPath(r), r.ID, n.ID)
	if err != nil && !(q.Force && errdefs.IsNotFound(err)) {
		return err
	}
	if err := w.rewire(r, left, now); err != nil {
		return err
	}
	w.tellNetwork(n, events.ActionDisconnect, r.ID)
	return nil
}

// rewire stores, and writes into the container's files, where it is now.
func (w wiring) rewire(before *container.Record, attached []container.Attachment, now network.Places) error {
	after := w.records.Update(before.ID, func(r *container.Record) {
		r.Networks = attached
		r.SetEndpoints(now.Endpoints)
	})
	if err := w.records.Save(before.ID); err != nil {
		return err
	}
	return files.Change(w.dir(before.ID), before, after, w.deps.Networks.Gateway().Addr(), now.Named)
}

func changeable(r *container.Record) error {
	if r.State.Status == container.Removing || r.State.Status == container.Dead {
		return errdefs.ErrConflict.WithMessage("Container " + r.ID + " is marked for removal and cannot be connected or disconnected to the network")
	}
	return nil
}

func sandboxPath(r *container.Record) string {
	return "/proc/" + strconv.Itoa(r.State.Pid) + "/ns/net"
}

// sandbox takes what a run needs of networks.
func (w wiring) sandbox(ctx context.Context, r *container.Record) (Sandbox, []container.Attachment, error) {
	attached, joins, err := networks.Joins(r, w.deps.Networks.Networks())
	if err != nil {
		return Sandbox{}, nil, err
	}
	published, err := ports.Bindings(r.Config, r.HostConfig)
	if err != nil {
		return Sandbox{}, nil, err
	}
	s, err := w.deps.Networks.Take(ctx, request(r, attached, joins, published))
	return s, attached, err
}

func request(r *container.Record, attached []container.Attachment, joins []network.Join, ports []container.Port) network.Request {
	return network.Request{ContainerID: r.ID, Joins: joins, Ports: ports, Client: client(r, attached)}
}

// client is for whom the engine's name server answers.
func client(r *container.Record, attached []container.Attachment) network.Client {
	c := network.Client{Servers: r.HostConfig.DNS}
	if slices.ContainsFunc(attached, func(a container.Attachment) bool { return api.NetworkMode(a.Network).IsUserDefined() }) {
		c.HoldSingle = files.HoldSingle(r)
	}
	return c
}

// living are the containers that run, and those whose end will give their
// places back: their process may be another's by now.
func (w wiring) living(ended []over) []network.Live {
	var all []network.Live
	for _, r := range w.records.All() {
		ends := r.Endpoints()
		if !r.State.Status.Alive() || len(ends) == 0 {
			continue
		}
		l := network.Live{ContainerID: r.ID, NetNS: sandboxPath(r), Endpoints: ends, Client: client(r, r.Networks)}
		if slices.ContainsFunc(ended, func(o over) bool { return o.exit.ID == r.ID }) {
			l.NetNS = ""
		}
		all = append(all, l)
	}
	return all
}

// renamed has the networks call a running container by its new name.
func (w wiring) renamed(r *container.Record) {
	names := map[string][]string{}
	for _, a := range r.Networks {
		names[a.NetworkID] = networks.Names(r, a)
	}
	if now := w.deps.Networks.Rename(r.ID, names); len(now) > 0 {
		w.records.Update(r.ID, func(r *container.Record) { r.SetEndpoints(now) })
	}
}

// tellNetwork publishes what happened to a network, or to a container in it.
func (c *announcer) tellNetwork(n mobynet.Network, action events.Action, containerID string) {
	a := map[string]string{"name": n.Name, "type": n.Driver}
	if containerID != "" {
		a["container"] = containerID
	}
	c.events.Publish(events.NetworkEventType, action, n.ID, a)
}

// tellPlaces publishes that a container came into its networks, or left them.
func (w wiring) tellPlaces(r *container.Record, action events.Action) {
	all := w.deps.Networks.Networks()
	for _, a := range r.Networks {
		if n, err := networks.Find(all, a.NetworkID); err == nil && a.Endpoint != nil {
			w.tellNetwork(n, action, r.ID)
		}
	}
}
