package network

import (
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/container"
)

func TestRepublish(t *testing.T) {
	n := open(t, testConfig(t))
	b := take(t, n, Request{Ports: []container.Port{{ContainerPort: 7, HostPort: 8007}, {ContainerPort: 7}, {ContainerPort: 8, HostPort: 8008}}})
	b.serve(7)
	random := b.ep.Ports[1].HostPort
	at := func(port uint16) string { return net.JoinHostPort(n.Gateway().Addr().String(), fmt.Sprint(port)) }
	answers := func(port uint16) bool {
		c, err := net.DialTimeout("tcp4", at(port), wait)
		if err != nil {
			return false
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(wait))
		_, err = c.Read(make([]byte, 1))
		return err == nil
	}
	// A connection that is open over all that follows.
	var echo net.Listener
	if err := b.do(func() (err error) { echo, err = net.Listen("tcp4", ":8"); return err }); err != nil {
		t.Fatal(err)
	}
	*b.held = append(*b.held, echo)
	old, err := net.DialTimeout("tcp4", at(8008), wait)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	peer, err := echo.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	republish := func(want ...container.Port) error {
		t.Helper()
		next, err := n.Republish(t.Context(), b.ep.ContainerID, want)
		if err == nil {
			b.ep = next.Endpoints[0]
		}
		return err
	}
	if err := republish(container.Port{ContainerPort: 7}, container.Port{ContainerPort: 7, HostPort: 9007}); err != nil {
		t.Fatal(err)
	}
	ports := []uint16{b.ep.Ports[0].HostPort, b.ep.Ports[1].HostPort}
	slices.Sort(ports)
	if want := []uint16{9007, random}; !slices.Equal(ports, want) {
		t.Errorf("ports %v, want %v", ports, want)
	}
	if answers(8007) || !answers(9007) || !answers(random) {
		t.Error("8007, 9007, free one:", answers(8007), answers(9007), answers(random))
	}
	if answers(8008) {
		t.Error("8008 answers")
	}
	_ = old.SetDeadline(time.Now().Add(wait))
	if _, err := peer.Write([]byte("still here")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(old, make([]byte, 10)); err != nil {
		t.Errorf("the connection to the port that went: %v", err)
	}
	// What cannot be had changes nothing; what went can be had by others.
	if _, err := n.Take(t.Context(), std(n, Request{ContainerID: newID(), Ports: []container.Port{{ContainerPort: 7, HostPort: 9007}}})); !errdefs.IsAlreadyExists(err) {
		t.Error(err)
	}
	other := take(t, n, Request{Ports: []container.Port{{ContainerPort: 7, HostPort: 8007}}})
	if err := republish(container.Port{ContainerPort: 7, HostPort: 9008}, container.Port{ContainerPort: 7, HostPort: 8007}); !errdefs.IsAlreadyExists(err) {
		t.Error(err)
	}
	if !answers(9007) || answers(9008) {
		t.Error("9007, 9008:", answers(9007), answers(9008))
	}
	if err := n.Release(t.Context(), other.ep.ContainerID); err != nil {
		t.Error(err)
	}
	if _, err := n.Republish(t.Context(), other.ep.ContainerID, nil); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}
