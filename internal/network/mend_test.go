package network

import (
	"fmt"
	"os"
	"testing"

	mobynet "github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/network/sandbox"
)

// A crash in the middle of a disconnect, or of a connect, changed the kernel but
// not the record.
func TestRestoreMendsHalfChanges(t *testing.T) {
	c := testConfig(t)
	n := begin(t, c)
	one, err := n.Create(t.Context(), mobynet.CreateRequest{Name: "one"})
	if err != nil {
		t.Fatal(err)
	}
	aaa, err := n.Create(t.Context(), mobynet.CreateRequest{Name: "aaa"})
	if err != nil {
		t.Fatal(err)
	}
	var boxes []box
	var all []Live
	for range 2 {
		b := take(t, n, Request{Joins: []Join{{NetworkID: one.ID}}})
		path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), b.ns.Fd())
		boxes = append(boxes, b)
		all = append(all, Live{ContainerID: b.ep.ContainerID, NetNS: path, Endpoints: n.show(n.of(b.ep.ContainerID)).Endpoints})
	}
	if err := bridge.Remove(boxes[0].ep.HostLink); err != nil {
		t.Fatal(err)
	}
	half, err := n.Connect(t.Context(), all[1].NetNS, Request{ContainerID: all[1].ContainerID, Joins: []Join{{NetworkID: aaa.ID}}})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := sandbox.DefaultLinks(boxes[1].ns); err != nil || d.Four != "eth1" {
		t.Fatalf("the default route leads through %q, %v; the test needs eth1", d.Four, err)
	}
	crash(n)

	n, err = Open(c, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, n) })
	if err := n.Restore(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	for _, p := range half.Endpoints {
		if p.NetworkID == aaa.ID {
			awaitLink(t, p.HostLink)
		}
	}
	boxes[0].serve(80)
	boxes[1].serve(80)
	for i, b := range boxes {
		if d, err := sandbox.DefaultLinks(b.ns); err != nil || d.Four != "eth0" {
			t.Errorf("container %d: the default route leads through %q, %v", i, d.Four, err)
		}
		if sees, err := boxes[1-i].ask("tcp", b.ip, 80); err != nil || sees != boxes[1-i].ip.String() {
			t.Errorf("container %d: %q, %v", i, sees, err)
		}
	}
}
