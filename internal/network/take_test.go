package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/container"
)

func TestManyTakesAtOnce(t *testing.T) {
	n := open(t, testConfig(t))
	gateway := box{t: t}
	gateway.serve(7)
	var done sync.WaitGroup
	boxes := make([]box, 50)
	for i := range boxes {
		done.Go(func() {
			s, err := n.Take(t.Context(), std(n, Request{ContainerID: newID(), Ports: []container.Port{{ContainerPort: 80}}}))
			if err != nil {
				t.Error(err)
				return
			}
			ns, err := os.Open(s.NetNS)
			if err != nil {
				t.Error(err)
			}
			s.Close()
			boxes[i] = box{t: t, ns: ns, ip: s.Endpoints[0].IP.Addr(), ep: s.Endpoints[0]}
		})
	}
	done.Wait()
	if t.Failed() {
		t.FailNow()
	}
	ips, ports := map[netip.Addr]bool{}, map[uint16]bool{}
	for _, b := range boxes {
		defer b.ns.Close()
		ips[b.ip], ports[b.ep.Ports[0].HostPort] = true, true
		if sees, err := b.ask("tcp", n.Gateway().Addr(), 7); err != nil || sees != b.ip.String() {
			t.Errorf("%s asks the host: %q, %v", b.ip, sees, err)
		}
	}
	if len(ips) != len(boxes) || len(ports) != len(boxes) {
		t.Errorf("%d addresses and %d ports for %d endpoints", len(ips), len(ports), len(boxes))
	}
}

func TestEndpointSaysWhatIsInside(t *testing.T) {
	n := open(t, testConfig(t))
	b := take(t, n, Request{ContainerID: "abc", Ports: []container.Port{{ContainerPort: 80}}})
	err := b.do(func() error {
		l, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		addrs, err := l.Addrs()
		if err != nil {
			return err
		}
		if got := fmt.Sprint(l.HardwareAddr, addrs); got != fmt.Sprintf("%s [%s]", b.ep.MAC, b.ep.IP) {
			t.Errorf("inside: %s; endpoint: %+v", got, b.ep)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p := b.ep.Ports[0]
	if b.ep.Gateway != n.Gateway().Addr() || b.ep.ContainerID != "abc" || p.Proto != "tcp" || p.HostPort < 49153 || !p.HostIP.IsUnspecified() {
		t.Errorf("endpoint: %+v", b.ep)
	}
	if _, err := net.InterfaceByName(b.ep.HostLink); err != nil {
		t.Error(err)
	}
}

func TestPreferredAddress(t *testing.T) {
	n := open(t, testConfig(t))
	first := take(t, n, Request{})
	second := take(t, n, prefer(n, first.ip))
	if second.ip == first.ip {
		t.Errorf("%s was given twice", first.ip)
	}
	if err := n.Release(t.Context(), first.ep.ContainerID); err != nil {
		t.Fatal(err)
	}
	// Its namespace is still held, so its link is still there.
	again := take(t, n, prefer(n, first.ip))
	if again.ip != first.ip {
		t.Errorf("asked for %s, got %s", first.ip, again.ip)
	}
	again.serve(80)
	if _, err := (box{t: t}).ask("tcp", again.ip, 80); err != nil {
		t.Error(err)
	}
	if elsewhere := take(t, n, prefer(n, netip.MustParseAddr("203.0.113.9"))); !n.Gateway().Contains(elsewhere.ip) {
		t.Errorf("%s is not of the subnet", elsewhere.ip)
	}
}

func TestPortInUse(t *testing.T) {
	n := open(t, testConfig(t))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	udp, err := net.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	me := fmt.Sprintf("(in use by %s, pid %d)", strings.TrimSpace(string(comm)), os.Getpid())
	tcpPort, udpPort := uint16(l.Addr().(*net.TCPAddr).Port), uint16(udp.LocalAddr().(*net.UDPAddr).Port)
	owner := strings.Repeat("ab", 32)
	take(t, n, Request{ContainerID: owner, Ports: []container.Port{{HostPort: 8080, ContainerPort: 80}}})
	loop := netip.MustParseAddr("127.0.0.1")
	for _, c := range []struct {
		name string
		port container.Port
		is   func(error) bool
		want string
	}{
		{"program", container.Port{HostPort: tcpPort, ContainerPort: 80}, errdefs.IsAlreadyExists,
			fmt.Sprintf("Bind for 0.0.0.0:%d failed: port is already allocated %s", tcpPort, me)},
		{"program, udp", container.Port{Proto: "udp", HostIP: loop, HostPort: udpPort, ContainerPort: 80}, errdefs.IsAlreadyExists,
			fmt.Sprintf("Bind for 127.0.0.1:%d failed: port is already allocated %s", udpPort, me)},
		{"container", container.Port{HostIP: loop, HostPort: 8080, ContainerPort: 80}, errdefs.IsAlreadyExists,
			"Bind for 127.0.0.1:8080 failed: port is already allocated (in use by container abababababab)"},
		{"foreign address", container.Port{HostIP: netip.MustParseAddr("203.0.113.1"), HostPort: 80, ContainerPort: 80}, errdefs.IsInvalidArgument,
			"Bind for 203.0.113.1:80 failed: no interface of this host has the address 203.0.113.1"},
		{"IPv6", container.Port{HostIP: netip.IPv6Unspecified(), HostPort: 80, ContainerPort: 80}, errdefs.IsInvalidArgument,
			"-p [::]:80:80: the container has no network that this address could lead to"},
		{"sctp", container.Port{Proto: "sctp", ContainerPort: 80}, errdefs.IsInvalidArgument,
			"port 80/sctp: only tcp and udp can be published"},
	} {
		t.Run(c.name, func(t *testing.T) {
			free := container.Port{HostPort: 9090, ContainerPort: 90}
			_, err := n.Take(t.Context(), std(n, Request{Ports: []container.Port{free, c.port}}))
			if err == nil || !c.is(err) || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			// Nothing half-made is left: the other port is free again.
			if err := n.Release(t.Context(), take(t, n, Request{Ports: []container.Port{free}}).ep.ContainerID); err != nil {
				t.Error(err)
			}
		})
	}
	if l, err := net.Listen("tcp4", ":8080"); err == nil {
		l.Close()
		t.Error("another program could take a published port")
	}
}

func TestPortOfRange(t *testing.T) {
	n := open(t, testConfig(t))
	l, err := net.Listen("tcp4", ":8001")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	span := container.Port{HostPort: 8000, LastHostPort: 8003, ContainerPort: 80}
	// What leaves no choice is served first.
	first := take(t, n, Request{Ports: []container.Port{span, {HostPort: 8000, ContainerPort: 81}, span}})
	var got []uint16
	for _, p := range first.ep.Ports {
		got = append(got, p.HostPort)
		if p.LastHostPort != 0 {
			t.Errorf("%+v still is a range", p)
		}
	}
	if !slices.Equal(got, []uint16{8002, 8000, 8003}) {
		t.Errorf("host ports %v", got)
	}
	_, err = n.Take(t.Context(), std(n, Request{Ports: []container.Port{span}}))
	if want := "Bind for 0.0.0.0:8000-8003 failed: port is already allocated: no tcp port of the range is free"; !errdefs.IsAlreadyExists(err) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestReleaseTakesEverythingBack(t *testing.T) {
	n := open(t, testConfig(t))
	web := take(t, n, Request{Ports: []container.Port{{HostPort: 8080, ContainerPort: 80}, {Proto: "udp", HostPort: 8080, ContainerPort: 80}}})
	web.serve(80)
	host, loop := box{t: t}, netip.MustParseAddr("127.0.0.1")
	if _, err := host.ask("udp", loop, 8080); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := n.Release(t.Context(), web.ep.ContainerID); err != nil {
			t.Fatal(err)
		}
	}
	host.serve(8080)
	for _, proto := range []string{"tcp", "udp"} {
		if sees, err := host.ask(proto, loop, 8080); err != nil || sees != loop.String() {
			t.Errorf("%s: %q, %v", proto, sees, err)
		}
	}
}

// A flow that began before the port was published must not go on past it.
func TestOldUDPFlowMeetsNewPort(t *testing.T) {
	n := open(t, testConfig(t))
	out := outside(t)
	var c net.Conn
	err := out.do(func() (err error) {
		c, err = net.Dial("udp4", netip.AddrPortFrom(hostSide.Addr(), 5353).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(wait))
	buf := make([]byte, 64)
	c.Write([]byte("?"))
	if _, err := c.Read(buf); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("nobody is there yet: %v", err)
	}
	dns := take(t, n, Request{Ports: []container.Port{{Proto: "udp", HostPort: 5353, ContainerPort: 53}}})
	dns.serve(53)
	// The old flow goes soon after; each try sends again.
	for late := time.Now().Add(wait); ; {
		c.SetDeadline(time.Now().Add(50 * time.Millisecond))
		c.Write([]byte("?"))
		if _, err := c.Read(buf); err == nil {
			return
		}
		if time.Now().After(late) {
			t.Fatal("the old flow stays")
		}
	}
}

func TestCancelledTake(t *testing.T) {
	n := open(t, testConfig(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Take(ctx, std(n, Request{})); err != context.Canceled {
		t.Error(err)
	}
}
