package network

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/network/publish"
)

// crash leaves what the kernel keeps when the engine's process is gone.
func crash(n *Network) {
	n.pool.Close()
	n.disconnect()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
}

func begin(t *testing.T, c Config, endpoints ...container.Endpoint) *Network {
	t.Helper()
	n, err := Open(c, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Restore(t.Context(), living(endpoints)); err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitLink waits until a link is gone.
func awaitLink(t *testing.T, name string) {
	t.Helper()
	changes, stop := make(chan netlink.LinkUpdate), make(chan struct{})
	if err := netlink.LinkSubscribe(changes, stop); err != nil {
		t.Fatal(err)
	}
	defer func() {
		close(stop)
		for range changes {
		}
	}()
	late := time.After(wait)
	for {
		if _, err := net.InterfaceByName(name); err != nil {
			return
		}
		select {
		case <-changes:
		case <-late:
			t.Fatalf("link %s stays", name)
		}
	}
}

func TestRestoreAfterCrash(t *testing.T) {
	c := testConfig(t)
	n := begin(t, c)
	gateway := n.Gateway()
	web := take(t, n, Request{Ports: []container.Port{{HostPort: 8080, ContainerPort: 80}}})
	defer web.leave()
	gone := take(t, n, Request{Ports: []container.Port{{HostPort: 8081, ContainerPort: 80}}})
	web.serve(80)
	crash(n)
	host, loop := box{t: t}, netip.MustParseAddr("127.0.0.1")
	if _, err := host.ask("tcp", loop, 8080); err != nil {
		t.Errorf("published port without an engine: %v", err)
	}
	// Somebody takes the port while no engine holds it.
	thief, err := net.Listen("tcp4", ":8080")
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()

	n = open(t, c, web.ep)
	if n.Gateway() != gateway {
		t.Errorf("gateway was %s and is %s", gateway, n.Gateway())
	}
	if sees, err := host.ask("tcp", loop, 8080); err != nil || sees != gateway.Addr().String() {
		t.Errorf("published port after restart: %q, %v", sees, err)
	}
	if sees, err := host.ask("tcp", loop, 8081); err == nil {
		t.Errorf("the port of a gone container answers: %s", sees)
	}
	awaitLink(t, gone.ep.HostLink)
	if err := n.Restore(t.Context(), living([]container.Endpoint{web.ep})); err != nil {
		t.Errorf("restore again: %v", err)
	}
	if next := take(t, n, prefer(n, web.ip)); next.ip == web.ip {
		t.Error("the address of a running container was given away")
	}
	if _, err := n.Take(t.Context(), std(n, Request{Ports: []container.Port{{HostPort: 8080, ContainerPort: 80}}})); !errdefs.IsAlreadyExists(err) {
		t.Errorf("the port of a running container was given away: %v", err)
	}
	if err := n.Release(t.Context(), web.ep.ContainerID); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp4", "127.0.0.1:8080"); err != nil {
		t.Errorf("the port is translated after release: %v", err)
	} else {
		c.Close()
	}
}

func TestRestoreMakesGood(t *testing.T) {
	c := testConfig(t)
	n := begin(t, c)
	web := take(t, n, Request{Ports: []container.Port{{HostPort: 8080, ContainerPort: 80}}})
	defer web.leave()
	web.serve(80)
	crash(n)
	if err := bridge.Remove(n.standard.link); err != nil {
		t.Fatal(err)
	}
	nft := &nftables.Conn{}
	nft.DelTable(&nftables.Table{Name: "berth-" + c.Instance, Family: nftables.TableFamilyIPv4})
	if err := nft.Flush(); err != nil {
		t.Fatal(err)
	}
	open(t, c, web.ep)
	if _, err := (box{t: t}).ask("tcp", netip.MustParseAddr("127.0.0.1"), 8080); err != nil {
		t.Error(err)
	}
}

func TestCloseKeepsTheLiving(t *testing.T) {
	c := testConfig(t)
	n := begin(t, c)
	web := take(t, n, Request{Ports: []container.Port{{HostPort: 8080, ContainerPort: 80}}})
	defer web.leave()
	web.serve(80)
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := (box{t: t}).ask("tcp", netip.MustParseAddr("127.0.0.1"), 8080); err != nil {
		t.Error(err)
	}
	if _, err := n.Take(t.Context(), std(n, Request{})); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("take after close: %v", err)
	}
	open(t, c, web.ep)
}

func TestNothingIsLeft(t *testing.T) {
	c := testConfig(t)
	before, descriptors := tables(t), countFDs(t)
	for range 3 {
		n := begin(t, c)
		var boxes []box
		for range 12 {
			boxes = append(boxes, take(t, n, Request{Ports: []container.Port{{ContainerPort: 80}, {Proto: "udp", ContainerPort: 80}}}))
		}
		for _, b := range boxes {
			if err := n.Release(t.Context(), b.ep.ContainerID); err != nil {
				t.Error(err)
			}
			b.leave()
		}
		if err := n.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		checkClean(t, n)
	}
	if after := tables(t); !slices.Equal(before, after) {
		t.Errorf("nftables tables before %q, after %q", before, after)
	}
	// The first use of netlink and of the poller may keep a few.
	if after := countFDs(t); after > descriptors+4 {
		t.Errorf("%d descriptors before, %d after", descriptors, after)
	}
}

func countFDs(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// A process that stays in the namespace does not keep the link.
func TestHeldLinkIsSwept(t *testing.T) {
	n := open(t, testConfig(t))
	b := take(t, n, Request{})
	if err := n.Release(t.Context(), b.ep.ContainerID); err != nil {
		t.Fatal(err)
	}
	index, err := n.host.Index(b.ep.HostLink)
	if err != nil {
		t.Fatal(err)
	}
	n.sweep.after(index, 0, func() {}) // not wait for the grace
	awaitLink(t, b.ep.HostLink)
}

// "nft flush ruleset" takes our table away too; the next change brings it back.
func TestFlushedTableComesBack(t *testing.T) {
	n := open(t, testConfig(t))
	web := take(t, n, Request{Ports: []container.Port{{HostPort: 8080, ContainerPort: 80}}})
	web.serve(80)
	flush := func() {
		nft := &nftables.Conn{}
		nft.FlushRuleset()
		if err := nft.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	other := take(t, n, Request{Ports: []container.Port{{HostPort: 8081, ContainerPort: 80}}})
	other.serve(80)
	loop := netip.MustParseAddr("127.0.0.1")
	for _, port := range []uint16{8080, 8081} {
		if _, err := (box{t: t}).ask("tcp", loop, port); err != nil {
			t.Errorf("port %d: %v", port, err)
		}
	}
	flush()
	if err := n.Release(t.Context(), other.ep.ContainerID); err != nil {
		t.Error(err)
	}
	if _, err := (box{t: t}).ask("tcp", loop, 8080); err != nil {
		t.Error(err)
	}
}

func TestForeignFirewallIsNamed(t *testing.T) {
	nft := &nftables.Conn{}
	drop := nftables.ChainPolicyDrop
	table := nft.AddTable(&nftables.Table{Name: "fortress", Family: nftables.TableFamilyIPv4})
	nft.AddChain(&nftables.Chain{Table: table, Name: "wall", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	if err := nft.Flush(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		nft.DelTable(table)
		if err := nft.Flush(); err != nil { // it is still there
			t.Error(err)
		}
	}()
	var said bytes.Buffer
	n, err := Open(testConfig(t), slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, n)
	if !strings.Contains(said.String(), "fortress wall") {
		t.Errorf("log: %s", said.String())
	}
}

func TestRestoreOfBrokenRecords(t *testing.T) {
	c := testConfig(t)
	n := begin(t, c)
	web := take(t, n, Request{Ports: []container.Port{{HostPort: 8080, ContainerPort: 80}}})
	defer web.leave()
	web.serve(80)
	twin := take(t, n, Request{})
	defer twin.leave()
	crash(n)
	double := web.ep
	double.ID = newID()
	twin.ep.Ports = append(web.ep.Ports, container.Port{Proto: "what", ContainerPort: 1})
	n = open(t, c, web.ep, double, container.Endpoint{ID: newID()}, twin.ep)
	if got := len(n.endpoints()); got != 2 {
		t.Errorf("%d endpoints live", got)
	}
	if _, err := (box{t: t}).ask("tcp", netip.MustParseAddr("127.0.0.1"), 8080); err != nil {
		t.Error(err)
	}
}

func TestManyMappings(t *testing.T) {
	n := open(t, testConfig(t))
	var all []publish.Mapping
	for port := uint16(1000); port < 11000; port++ {
		m := publish.Mapping{Proto: "tcp", HostIP: netip.IPv4Unspecified(), HostPort: port, To: netip.AddrPortFrom(n.Gateway().Addr(), 7)}
		all = append(all, m)
	}
	(box{t: t}).serve(7)
	for _, set := range []func() error{
		func() error { return n.table.Add(all) },
		func() error { return n.table.Set(func() publish.State { return publish.State{Mappings: all} }) },
	} {
		if err := set(); err != nil {
			t.Fatal(err)
		}
		if _, err := (box{t: t}).ask("tcp", n.Gateway().Addr(), 10999); err != nil {
			t.Error(err)
		}
	}
	if err := n.table.Remove(all); err != nil {
		t.Error(err)
	}
}
