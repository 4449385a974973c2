package network

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	mobynet "github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/bridge"
)

// Networks, addresses and ports are as they were after a crash of the engine,
// and links that belong to nobody go.
func TestNetworksSurvive(t *testing.T) {
	c := testConfig(t)
	n := begin(t, c)
	front := define(t, n, mobynet.CreateRequest{Name: "front", EnableIPv6: six(), Labels: map[string]string{"a": "b"}})
	gone, err := n.Create(t.Context(), mobynet.CreateRequest{Name: "gone"})
	if err != nil {
		t.Fatal(err)
	}
	r := in(front)
	r.Ports = []container.Port{{HostPort: 8080, ContainerPort: 80}}
	r.Joins[0].Names = []string{"web"}
	web, stray := take(t, n, r), take(t, n, in(front))
	defer web.leave()
	defer stray.leave()
	web.listen(80)
	crash(n)
	if err := os.Remove(n.file(gone.ID)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.file(strings.Repeat("a", 64)), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	box{t: t}.reaches(netip.MustParseAddr("127.0.0.1"), 8080)
	if err := bridge.Remove("br-" + gone.ID[:12]); err != nil { // what Remove does before the file goes
		t.Fatal(err)
	}

	n = open(t, c, web.ep)
	t.Cleanup(func() {
		free(t, n, web)
		if err := n.Remove(context.Background(), front.ID); err != nil {
			t.Error(err)
		}
	})
	all := n.Networks()
	i := slices.IndexFunc(all, func(m mobynet.Network) bool { return m.Name == "front" })
	if len(all) != 4 || fmt.Sprint(all[i]) != fmt.Sprint(front) {
		t.Errorf("networks: %+v", all)
	}
	for _, ip := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), front.IPAM.Config[1].Gateway} {
		box{t: t}.reaches(ip, 8080)
	}
	box{t: t}.reaches(web.ep.IP6.Addr(), 80)
	awaitLink(t, stray.ep.HostLink)
	if got, ok := n.names.Lookup(web.ep.ContainerID, "web"); !ok || len(got) != 2 {
		t.Errorf("names: %v", got)
	}
	next := take(t, n, in(front))
	next.reaches(web.ip, 80)
	free(t, n, next)
}

// More containers than a bridge has ports: others are put beside it.
func TestWideNetwork(t *testing.T) {
	c := testConfig(t)
	n := begin(t, c)
	s := n.standard
	for range perBridge / 2 {
		if _, err := s.v4.Next(); err != nil { // as if so many were there
			t.Fatal(err)
		}
	}
	first := take(t, n, Request{})
	if len(s.shards) != 2 {
		t.Fatalf("%d bridges", len(s.shards))
	}
	for range perBridge / 2 {
		if _, err := s.v4.Next(); err != nil {
			t.Fatal(err)
		}
	}
	n.pool.Close() // those made ahead are on the first
	n.pool = nil
	second := take(t, n, Request{})
	master := func(b box) int {
		l, err := netlink.LinkByName(b.ep.HostLink)
		if err != nil {
			t.Fatal(err)
		}
		return l.Attrs().MasterIndex
	}
	if len(s.shards) != 3 || master(first) != s.shards[0].index || master(second) != s.shards[1].index {
		t.Fatalf("bridges %v, containers on %d and %d", s.shards, master(first), master(second))
	}
	out := outside(t)
	out.serve(99)
	first.listen(80)
	second.reaches(first.ip, 80)
	if sees, err := second.ask("tcp", out.ip, 99); err != nil || sees != hostSide.Addr().String() {
		t.Errorf("outside sees %q, %v", sees, err)
	}
	crash(n)
	n = open(t, c, first.ep, second.ep)
	if len(n.standard.shards) != 3 {
		t.Errorf("bridges after a restart: %v", n.standard.shards)
	}
	second.reaches(first.ip, 80)
	free(t, n, first, second)
}
