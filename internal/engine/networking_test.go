package engine

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	mobynet "github.com/moby/moby/api/types/network"
)

// in are the networks that a container's inspect shows, with its names in them.
func (b *bench) in(id string) string {
	b.T.Helper()
	i, err := b.Inspect(b.T.Context(), id, false)
	if err != nil {
		b.T.Fatal(err)
	}
	var lines []string
	for name, e := range i.NetworkSettings.Networks {
		line := name
		if e.EndpointID != "" {
			line += "*"
		}
		if len(e.DNSNames) > 0 {
			line += " " + e.DNSNames[0]
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return fmt.Sprint(lines)
}

func TestConnectAndDisconnect(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	front, err := b.NetworkCreate(ctx, mobynet.CreateRequest{Name: "front"})
	if err != nil {
		t.Fatal(err)
	}
	id := b.run(named("web"), func(o *CreateOptions) { o.HostConfig.DNSOptions = []string{"ndots:2"} })
	connect := func(network, container string) error {
		return b.NetworkConnect(ctx, network, mobynet.ConnectRequest{Container: container, EndpointConfig: &mobynet.EndpointSettings{Aliases: []string{"www"}}})
	}
	disconnect := func(network, container string, force bool) error {
		return b.NetworkDisconnect(ctx, network, mobynet.DisconnectRequest{Container: container, Force: force})
	}
	b.w.setFail("network.Connect", errors.New("no"))
	if err := connect("front", "web"); err == nil || b.in(id) != "[bridge*]" {
		t.Fatal(b.in(id), err)
	}
	b.w.setFail("network.Connect", nil)
	if err := connect(front[:12], "web"); err != nil || b.in(id) != "[bridge* front* web]" {
		t.Fatal(b.in(id), err)
	}
	if !b.w.client.HoldSingle {
		t.Error("a name without a dot is asked outside after the first connect")
	}
	wantError(t, connect("front", "web"), errdefs.IsPermissionDenied, "endpoint with name web already exists in network front")
	wantError(t, connect("nowhere", "web"), errdefs.IsNotFound, "network nowhere not found")
	wantError(t, connect("front", "nobody"), errdefs.IsNotFound, "No such container: nobody")
	wantError(t, connect("none", "web"), errdefs.IsInvalidArgument, "private (none) mode")
	wantError(t, b.NetworkRemove(ctx, "front"), errdefs.IsPermissionDenied, `network front has active endpoints (name:"web" id:"`)
	if err := b.Rename(ctx, "web", "shop"); err != nil || b.in(id) != "[bridge* front* shop]" || b.record(id).Networks[1].Endpoint.Names[0] != "shop" {
		t.Fatal(b.in(id), err)
	}
	b.reopen(nil)
	if b.in(id) != "[bridge* front* shop]" || len(b.w.endpoints) != 2 {
		t.Fatal(b.in(id), b.w.endpoints)
	}
	if err := disconnect("bridge", "shop", false); err != nil || b.in(id) != "[front* shop]" {
		t.Fatal(b.in(id), err)
	}
	wantError(t, disconnect("bridge", "shop", false), errdefs.IsNotFound, "is not connected to network bridge")

	// What is changed while it does not run is recorded, and so is what is left.
	stop := 0
	if err := b.Stop(ctx, id, "", &stop); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(connect("bridge", id)); err == nil {
		t.Error("an alias in the default network")
	}
	if err := b.NetworkConnect(ctx, "bridge", mobynet.ConnectRequest{Container: id}); err != nil || b.in(id) != "[bridge front shop]" {
		t.Fatal(b.in(id), err)
	}
	if err := b.NetworkRemove(ctx, "front"); err != nil { // nobody runs in it
		t.Fatal(err)
	}
	wantError(t, b.Start(ctx, id), errdefs.IsNotFound, "network "+front+" not found")
	wantError(t, disconnect("front", id, false), errdefs.IsNotFound, "network front not found")
	if err := disconnect("front", id, true); err != nil || b.in(id) != "[bridge]" {
		t.Fatal(b.in(id), err)
	}
	if err := b.Start(ctx, id); err != nil || b.in(id) != "[bridge*]" {
		t.Fatal(b.in(id), err)
	}
	if err := b.Remove(ctx, id, RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	b.nothing()
}

// Who is in a network that is lost while it runs is in the others as before.
func TestDisconnectFromALostNetwork(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	if _, err := b.NetworkCreate(ctx, mobynet.CreateRequest{Name: "lost"}); err != nil {
		t.Fatal(err)
	}
	id := b.run()
	if err := b.NetworkConnect(ctx, "lost", mobynet.ConnectRequest{Container: id}); err != nil {
		t.Fatal(err)
	}
	b.w.loseNetwork("lost")
	err := b.NetworkDisconnect(ctx, "lost", mobynet.DisconnectRequest{Container: id, Force: true})
	if err != nil || b.in(id) != "[bridge*]" {
		t.Fatal(b.in(id), err)
	}
}

func TestNetworkListAndPrune(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	for _, name := range []string{"used", "idle"} {
		if _, err := b.NetworkCreate(ctx, mobynet.CreateRequest{Name: name, Labels: map[string]string{"of": name}}); err != nil {
			t.Fatal(err)
		}
	}
	b.run(func(o *CreateOptions) { o.HostConfig.NetworkMode = "used" })
	for _, row := range []struct{ key, value, want string }{
		{"name", "us", "[used]"}, {"dangling", "true", "[idle]"}, {"dangling", "0", "[bridge host none used]"}, {"type", "custom", "[idle used]"},
		{"type", "builtin", "[bridge host none]"}, {"driver", "null", "[none]"}, {"scope", "swarm", "[]"}, {"label", "of=idle", "[idle]"}, {"label", "of", "[idle used]"},
		{"id", "nope", "[]"}, {"type", "odd", "invalid filter: 'type'='odd'"}, {"dangling", "x", `invalid value for filter 'dangling'`}, {"odd", "", "invalid filter 'odd'"},
	} {
		list, err := b.NetworkList(ctx, Filters{row.key: {row.value: true}})
		names := []string{}
		for _, n := range list {
			names = append(names, n.Name)
		}
		slices.Sort(names)
		if err != nil {
			wantError(t, err, errdefs.IsInvalidArgument, row.want)
		} else if fmt.Sprint(names) != row.want {
			t.Errorf("%s=%s: %v, want %s", row.key, row.value, names, row.want)
		}
	}
	report, err := b.PruneNetworks(ctx, nil)
	if err != nil || fmt.Sprint(report.NetworksDeleted) != "[idle]" {
		t.Errorf("%+v %v", report, err)
	}
	var told []string
	_ = b.Events(ctx, EventsOptions{Until: time.Now(), Filters: Filters{"type": {"network": true}}}, func(m events.Message) error {
		told = append(told, string(m.Action)+" "+m.Actor.Attributes["name"])
		return nil
	})
	if got := fmt.Sprint(told); got != "[create used create idle connect used destroy idle prune ]" {
		t.Errorf("events: %s", got)
	}
}
