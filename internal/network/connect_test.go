package network

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	mobynet "github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/network/sandbox"
)

// served is a Resolver that notes whom it serves.
type served struct {
	mu   sync.Mutex
	what map[string]Client
}

func (s *served) Serve(_ *os.File, c Client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.what[c.ContainerID] = c
	return nil
}

func (s *served) Forget(containerID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.what, containerID)
}

func (b box) path() string { return fmt.Sprintf("/proc/self/fd/%d", b.ns.Fd()) }

// hostLinks are the host's ends of links to networks that were made by users.
func hostLinks(t *testing.T) []string {
	t.Helper()
	links, err := bridge.Links()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		if name := l.Attrs().Name; strings.HasPrefix(name, "vn") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestFailedConnectChangesNothing(t *testing.T) {
	names := &served{what: map[string]Client{}}
	c := testConfig(t)
	c.Resolver = names
	n := open(t, c)
	inner := define(t, n, mobynet.CreateRequest{Name: "inner", Internal: true})
	lan := define(t, n, mobynet.CreateRequest{Name: "lan"})
	holder := Request{Ports: []container.Port{{HostPort: 8080, ContainerPort: 80}}}
	r := in(inner)
	r.Client.Servers = []netip.Addr{netip.MustParseAddr("10.1.1.1")}
	web, other := take(t, n, r), take(t, n, holder)
	defer free(t, n, web, other)
	id, before, links := web.ep.ContainerID, web.state(), hostLinks(t)
	twice := []netip.Addr{netip.MustParseAddr("169.254.7.7"), netip.MustParseAddr("169.254.7.7")}
	for _, row := range []struct {
		name string
		is   func(error) bool
		r    Request
	}{
		{"a port that is in use", errdefs.IsAlreadyExists, Request{Joins: []Join{{NetworkID: lan.ID}}, Ports: holder.Ports}},
		{"an address twice", func(error) bool { return true }, Request{Joins: []Join{{NetworkID: lan.ID, LinkLocal: twice}}}},
	} {
		row.r.ContainerID = id
		if _, err := n.Connect(t.Context(), web.path(), row.r); err == nil || !row.is(err) || errdefs.IsResourceExhausted(err) {
			t.Errorf("%s: %v", row.name, err)
		}
		if got := web.state(); got != before {
			t.Errorf("%s: inside: %s\nwant %s", row.name, got, before)
		}
		if inside, err := sandbox.Links(web.ns); err != nil || len(inside) != 2 {
			t.Errorf("%s: links inside: %v %v", row.name, inside, err)
		}
		if got := hostLinks(t); !slices.Equal(got, links) {
			t.Errorf("%s: links of the host: %v\nwant %v", row.name, got, links)
		}
		if got := names.what[id].Servers; !slices.Equal(got, r.Client.Servers) {
			t.Errorf("%s: names are answered with servers %v", row.name, got)
		}
	}
	if err := n.Remove(t.Context(), lan.ID); err != nil {
		t.Error(err)
	}
}

// A program inside has taken the link down that the default route is to go to.
func TestDisconnectWithoutARoute(t *testing.T) {
	n := open(t, testConfig(t))
	a, b := define(t, n, mobynet.CreateRequest{Name: "aa"}), define(t, n, mobynet.CreateRequest{Name: "bb"})
	web := take(t, n, in(a, b))
	defer free(t, n, web)
	err := web.do(func() error {
		l, err := netlink.LinkByName("eth1")
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(l)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []func(error) bool{func(err error) bool { return err == nil }, errdefs.IsNotFound} {
		left, err := n.Disconnect(t.Context(), web.path(), web.ep.ContainerID, a.ID)
		if !want(err) || len(left.Endpoints) != 1 || left.Endpoints[0].NetworkID != b.ID {
			t.Fatal(left, err)
		}
	}
	if err := n.Remove(t.Context(), a.ID); err != nil {
		t.Error(err)
	}
}

func TestRemoveAgain(t *testing.T) {
	n := open(t, testConfig(t))
	lan := define(t, n, mobynet.CreateRequest{Name: "lan"})
	if err := os.Remove(n.file(lan.ID)); err != nil {
		t.Fatal(err)
	}
	inTheWay := n.file(lan.ID) + "/x"
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	there := func() bool {
		return slices.ContainsFunc(n.Networks(), func(m mobynet.Network) bool { return m.ID == lan.ID })
	}
	if err := n.Remove(t.Context(), lan.ID); err == nil || !there() {
		t.Error("it was not removed and is not there:", err)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	if err := n.Remove(t.Context(), lan.ID); err != nil || there() {
		t.Error("it was removed and is there:", err)
	}
}

// What is known of a place goes with its link.
func TestLeftLinksAreForgotten(t *testing.T) {
	n := open(t, testConfig(t))
	lan := define(t, n, mobynet.CreateRequest{Name: "lan", EnableIPv6: six()})
	quick, slow := take(t, n, in(lan)), take(t, n, in(lan))
	if err := bridge.Remove(quick.ep.HostLink); err != nil {
		t.Fatal(err)
	}
	index, err := n.host.Index(slow.ep.HostLink)
	if err != nil {
		t.Fatal(err)
	}
	free(t, n, quick)
	if err := n.Release(t.Context(), slow.ep.ContainerID); err != nil {
		t.Fatal(err)
	}
	s := n.segments[lan.ID]
	if s.last[slow.ip] != slow.ep.HostLink || len(s.last) != 2 {
		t.Fatalf("known: %v, want the two addresses of %s", s.last, slow.ep.HostLink)
	}
	gone := make(chan struct{})
	forget := n.sweep.forget(index)
	n.sweep.after(index, 0, func() { forget(); close(gone) })
	<-gone
	awaitLink(t, slow.ep.HostLink)
	if len(s.last) != 0 {
		t.Errorf("still known: %v", s.last)
	}
	slow.leave()
}
