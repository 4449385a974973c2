package network

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/bridge"
)

func TestTwoEngines(t *testing.T) {
	one, two := open(t, testConfig(t)), open(t, testConfig(t))
	if one.Gateway().Overlaps(two.Gateway()) {
		t.Fatalf("both engines have %s", one.Gateway())
	}
	a := take(t, one, Request{Ports: []container.Port{{HostPort: 8080, ContainerPort: 80}}})
	b := take(t, two, Request{})
	a.serve(80)
	// Through the published port, but not past it.
	if sees, err := b.ask("tcp", two.Gateway().Addr(), 8080); err != nil || sees != one.Gateway().Addr().String() {
		t.Errorf("published port from the other engine's container: %q, %v", sees, err)
	}
	b.refused(a.ip, 80)
	_, err := two.Take(t.Context(), std(two, Request{Ports: []container.Port{{HostPort: 8080, ContainerPort: 80}}}))
	if !errdefs.IsAlreadyExists(err) || !strings.Contains(err.Error(), "in use by ") {
		t.Errorf("the port of the other engine: %v", err)
	}
	b.leave()
	shut(t, two)
	if sees, err := (box{t: t}).ask("tcp", netip.MustParseAddr("127.0.0.1"), 8080); err != nil {
		t.Errorf("after the other engine closed: %q, %v", sees, err)
	}
}

// refused expects that the box cannot connect.
func (b box) refused(ip netip.Addr, port uint16) {
	b.t.Helper()
	b.do(func() error {
		c, err := net.DialTimeout("tcp4", netip.AddrPortFrom(ip, port).String(), 300*time.Millisecond)
		if err == nil {
			c.Close()
			b.t.Errorf("%s:%d is reached", ip, port)
		}
		return nil
	})
}

func TestOnlyPublishedIsReached(t *testing.T) {
	n := open(t, testConfig(t))
	out := outside(t)
	web := take(t, n, Request{Ports: []container.Port{
		{HostPort: 8080, ContainerPort: 80},
		{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 8081, ContainerPort: 81},
	}})
	web.serve(80)
	web.serve(81)
	if _, err := out.ask("tcp", hostSide.Addr(), 8080); err != nil {
		t.Fatal(err)
	}
	out.refused(web.ip, 80)            // past the published port
	out.refused(web.ip, 81)            // published for the host only
	out.refused(hostSide.Addr(), 8081) // as well
	// The container reaches out, with the host's address.
	out.serve(99)
	if sees, err := web.ask("tcp", out.ip, 99); err != nil || sees != hostSide.Addr().String() {
		t.Errorf("outside sees %q, %v", sees, err)
	}
}

// route_localnet must not open the host's loopback to containers.
func TestLoopbackIsClosedToContainers(t *testing.T) {
	n := open(t, testConfig(t))
	host := box{t: t}
	secret, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	evil := take(t, n, Request{})
	err = evil.do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetDown(lo); err != nil {
			return err
		}
		if err := bridge.SetSysctl("net/ipv4/conf/eth0/route_localnet", "1"); err != nil {
			return err
		}
		_, loop, _ := net.ParseCIDR("127.0.0.1/32")
		return netlink.RouteAdd(&netlink.Route{Dst: loop, Gw: n.Gateway().Addr().AsSlice()})
	})
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(secret.Addr().(*net.TCPAddr).Port)
	if _, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		t.Fatal(err)
	}
	evil.refused(netip.MustParseAddr("127.0.0.1"), port)
	host.serve(7)
	if _, err := evil.ask("tcp", n.Gateway().Addr(), 7); err != nil {
		t.Errorf("the host itself is reached: %v", err)
	}
}

func TestSubnet(t *testing.T) {
	outside(t) // 192.0.2.0/24 is in use
	for _, c := range []struct {
		subnet string
		is     func(error) bool
		want   []string
	}{
		{"192.0.2.128/25", errdefs.IsInvalidArgument, []string{"192.0.2.128/25", "192.0.2.1/24", "of link out"}},
		{"2001:db8::/64", errdefs.IsNotImplemented, []string{"2001:db8::/64"}},
		{"10.9.9.0/31", errdefs.IsInvalidArgument, []string{"10.9.9.0/31"}},
	} {
		conf := testConfig(t)
		conf.Subnet = netip.MustParsePrefix(c.subnet)
		_, err := Open(conf, testLog(t))
		if err == nil || !c.is(err) {
			t.Errorf("%s: %v", c.subnet, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not name %q", c.subnet, err, w)
			}
		}
	}
	conf := testConfig(t)
	conf.Subnet = netip.MustParsePrefix("10.9.9.0/28")
	n := open(t, conf)
	if n.Gateway().String() != "10.9.9.1/28" || n.standard.link != "br-"+conf.Instance {
		t.Errorf("%s on %s", n.Gateway(), n.standard.link)
	}
	if b := take(t, n, Request{}); !conf.Subnet.Contains(b.ip) {
		t.Errorf("%s is not of %s", b.ip, conf.Subnet)
	}
}

func TestSubnetIsKept(t *testing.T) {
	c := testConfig(t)
	n := begin(t, c)
	first := n.Gateway()
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := testConfig(t)
	other.Subnet = netip.MustParsePrefix("172.31.0.0/16")
	open(t, other)
	if n := open(t, c); n.Gateway() != first {
		t.Errorf("first %s, then %s", first, n.Gateway())
	}
}

func TestBadInstance(t *testing.T) {
	for _, s := range []string{"", "ABCDEF01", "0123456", "../../..", "012345678"} {
		if _, err := Open(Config{Instance: s, StateDir: t.TempDir()}, testLog(t)); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
