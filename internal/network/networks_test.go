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
	mobynet "github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"

	"github.com/berth-containers/berth/internal/container"
)

// define makes a network with Docker's options for the bridge driver, without
// their common beginning.
func define(t testing.TB, n *Network, q mobynet.CreateRequest, options ...string) mobynet.Network {
	t.Helper()
	q.Options = map[string]string{}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		q.Options["com.docker.network."+key] = value
	}
	made, err := n.Create(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n.closed { // crashed: another engine has it
			return
		}
		if err := n.Remove(context.Background(), made.ID); err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
	})
	return made
}

func six() *bool { yes := true; return &yes }

// in asks for places in networks.
func in(networks ...mobynet.Network) Request {
	r := Request{ContainerID: newID()}
	for _, m := range networks {
		r.Joins = append(r.Joins, Join{NetworkID: m.ID})
	}
	return r
}

// free releases what a test took before its networks go.
func free(t testing.TB, n *Network, boxes ...box) {
	t.Helper()
	for _, b := range boxes {
		if err := n.Release(context.Background(), b.ep.ContainerID); err != nil {
			t.Error(err)
		}
		b.leave()
	}
}

// unreached is refused for addresses of both families.
func (b box) unreached(ip netip.Addr, port uint16) {
	b.t.Helper()
	_ = b.do(func() error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(ip, port).String(), 300*time.Millisecond)
		if err == nil {
			c.Close()
			b.t.Errorf("%s:%d is reached", ip, port)
		}
		return nil
	})
}

// reaches expects an answer of the server in other.
func (b box) reaches(ip netip.Addr, port uint16) {
	b.t.Helper()
	err := b.do(func() error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(ip, port).String(), wait)
		if err == nil {
			c.Close()
		}
		return err
	})
	if err != nil {
		b.t.Errorf("%s:%d: %v", ip, port, err)
	}
}

// listen answers connections of both families.
func (b box) listen(port uint16) {
	b.t.Helper()
	err := b.do(func() error {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		if b.held != nil {
			*b.held = append(*b.held, l)
		}
		b.t.Cleanup(func() { l.Close() })
		go echoTCP(l)
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// state is a sandbox's addresses and default routes as text.
func (b box) state() string {
	b.t.Helper()
	var lines []string
	err := b.do(func() error {
		links, err := net.Interfaces()
		if err != nil {
			return err
		}
		for _, l := range links[1:] {
			addrs, err := l.Addrs()
			if err != nil {
				return err
			}
			line := l.Name
			for _, a := range addrs {
				if !strings.HasPrefix(a.String(), "fe80") {
					line += " " + a.String()
				}
			}
			lines = append(lines, line)
		}
		routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
		for _, r := range routes {
			if r.Gw != nil {
				lines = append(lines, "default "+r.Gw.String())
			}
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

func TestNetworkOfItsOwn(t *testing.T) {
	n := open(t, testConfig(t))
	front := define(t, n, mobynet.CreateRequest{Name: "front", EnableIPv6: six()}, "driver.mtu=1400")
	a, b := take(t, n, in(front)), take(t, n, in(front))
	defer free(t, n, a, b)
	a.listen(80)
	b.reaches(a.ep.IP.Addr(), 80)
	b.reaches(a.ep.IP6.Addr(), 80)
	box{t: t}.reaches(a.ep.IP6.Addr(), 80)
	want := fmt.Sprintf("default %s, default %s, eth0 %s %s", front.IPAM.Config[0].Gateway, front.IPAM.Config[1].Gateway, a.ep.IP, a.ep.IP6)
	if got := a.state(); got != want {
		t.Errorf("inside: %s\nwant %s", got, want)
	}
	_ = a.do(func() error {
		if l, err := net.InterfaceByName("eth0"); err != nil || l.MTU != 1400 {
			t.Errorf("%+v %v", l, err)
		}
		return nil
	})
	if used := n.Status(front.ID).IPAM.Subnets[front.IPAM.Config[0].Subnet]; used != (mobynet.SubnetStatus{IPsInUse: 5, DynamicIPsAvailable: 251}) {
		t.Errorf("%+v", used)
	}
	if err := n.Remove(t.Context(), front.ID); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "has active endpoints") {
		t.Errorf("removed while it is used: %v", err)
	}
}

func TestNetworksAreApart(t *testing.T) {
	n := open(t, testConfig(t))
	out := outside(t)
	out.serve(99)
	front, back := define(t, n, mobynet.CreateRequest{Name: "front", EnableIPv6: six()}), define(t, n, mobynet.CreateRequest{Name: "back", EnableIPv6: six()})
	closed := define(t, n, mobynet.CreateRequest{Name: "closed", Internal: true, EnableIPv6: six()})
	published := in(back)
	published.Ports = []container.Port{{HostPort: 8080, ContainerPort: 80}}
	web, other, std := take(t, n, in(front)), take(t, n, published), take(t, n, Request{})
	shut, shut2 := take(t, n, in(closed)), take(t, n, in(closed))
	defer free(t, n, web, other, std, shut, shut2)
	for _, b := range []box{web, other, std, shut, shut2} {
		b.listen(80)
		b.listen(81)
	}
	var waits sync.WaitGroup
	for _, pair := range [][2]box{{web, other}, {other, web}, {web, std}, {std, web}, {web, shut}, {shut, web}, {shut, std}} {
		for _, port := range []uint16{80, 81} { // also what is published is not reached past its port
			waits.Go(func() { pair[0].unreached(pair[1].ep.IP.Addr(), port) })
		}
		if pair[1].ep.IP6.IsValid() && pair[0].ep.IP6.IsValid() {
			waits.Go(func() { pair[0].unreached(pair[1].ep.IP6.Addr(), 80) })
		}
	}
	waits.Wait()
	shut2.reaches(shut.ep.IP.Addr(), 80)
	shut2.reaches(shut.ep.IP6.Addr(), 80)
	if shut.ep.Gateway.IsValid() || strings.Contains(shut.state(), "default") {
		t.Errorf("an internal network has a way out: %+v", shut.ep)
	}
	gateway := func(m mobynet.Network) netip.Addr { return m.IPAM.Config[0].Gateway }
	web.reaches(gateway(front), 8080) // by the host, as from anywhere
	web.reaches(hostSide.Addr(), 8080)
	out.reaches(hostSide.Addr(), 8080)
	out.refused(web.ep.IP.Addr(), 80)
	shut.unreached(gateway(closed), 8080)
	if sees, err := web.ask("tcp", out.ip, 99); err != nil || sees != hostSide.Addr().String() {
		t.Errorf("outside sees %q, %v", sees, err)
	}
	// One that makes itself a route still gets nowhere.
	err := shut.do(func() error {
		return netlink.RouteAdd(&netlink.Route{Gw: gateway(closed).AsSlice()})
	})
	if err != nil {
		t.Fatal(err)
	}
	shut.refused(out.ip, 99)
	shut.refused(web.ep.IP.Addr(), 80)
}

func TestOptions(t *testing.T) {
	n := open(t, testConfig(t))
	out := outside(t)
	out.serve(99)
	alone := define(t, n, mobynet.CreateRequest{Name: "alone"}, "bridge.enable_icc=false", "bridge.name=br-alone", "bridge.host_binding_ipv4=127.0.0.1")
	plain := define(t, n, mobynet.CreateRequest{Name: "plain"}, "bridge.enable_ip_masquerade=false")
	r := in(alone)
	r.Ports = []container.Port{{HostPort: 8080, ContainerPort: 80}}
	a, b, c := take(t, n, r), take(t, n, in(alone)), take(t, n, in(plain))
	defer free(t, n, a, b, c)
	a.listen(80)
	b.refused(a.ip, 80)
	box{t: t}.reaches(a.ip, 80)
	box{t: t}.reaches(netip.MustParseAddr("127.0.0.1"), 8080)
	out.refused(hostSide.Addr(), 8080)
	if p := a.ep.Ports; len(p) != 1 || p[0].HostIP.String() != "127.0.0.1" {
		t.Errorf("published: %+v", p)
	}
	// Past the bridge's isolation, by the host's routing.
	if err := b.do(func() error {
		_, to, _ := net.ParseCIDR(a.ip.String() + "/32")
		return netlink.RouteAdd(&netlink.Route{Dst: to, Gw: alone.IPAM.Config[0].Gateway.AsSlice()})
	}); err != nil {
		t.Fatal(err)
	}
	b.refused(a.ip, 80)
	if _, err := net.InterfaceByName("br-alone"); err != nil {
		t.Error(err)
	}
	if err := out.do(func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if sees, err := c.ask("tcp", out.ip, 99); err != nil || sees != c.ip.String() {
		t.Errorf("outside sees %q, %v, want %s", sees, err, c.ip)
	}
}

func TestSeveralNetworks(t *testing.T) {
	n := open(t, testConfig(t))
	std := n.standard.def
	a, b := define(t, n, mobynet.CreateRequest{Name: "aa"}), define(t, n, mobynet.CreateRequest{Name: "bb", EnableIPv6: six()})
	inner := define(t, n, mobynet.CreateRequest{Name: "a-inner", Internal: true})
	gateway := func(m mobynet.Network, i int) netip.Addr { return m.IPAM.Config[i].Gateway }
	r := in(std, b, inner, a)
	r.Ports = []container.Port{{HostPort: 8080, ContainerPort: 80}}
	web := take(t, n, r)
	defer free(t, n, web)
	// The first by name that leads out has the route, and the ports.
	if got := web.state(); !strings.HasPrefix(got, fmt.Sprintf("default %s, default %s, eth0", gateway(a, 0), gateway(b, 1))) {
		t.Errorf("inside: %s", got)
	}
	ports := func() map[string]int {
		count := map[string]int{}
		for _, p := range n.of(web.ep.ContainerID) {
			if len(p.Ports) > 0 {
				count[p.segment.def.Name] = len(p.Ports)
			}
		}
		return count
	}
	if got := fmt.Sprint(ports()); got != "map[aa:1 bb:1]" {
		t.Errorf("ports: %s", got)
	}
	web.listen(80)
	for _, ip := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), gateway(b, 1)} {
		box{t: t}.reaches(ip, 8080)
	}
	if _, err := net.DialTimeout("tcp", "[::1]:8080", wait); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("::1: %v", err)
	}
	path := fmt.Sprintf("/proc/self/fd/%d", web.ns.Fd())
	if _, err := n.Disconnect(t.Context(), path, web.ep.ContainerID, a.ID); err != nil {
		t.Fatal(err)
	}
	if got := web.state(); !strings.Contains(got, "default "+gateway(b, 0).String()) || strings.Contains(got, gateway(a, 0).String()) {
		t.Errorf("after disconnect: %s", got)
	}
	box{t: t}.reaches(netip.MustParseAddr("127.0.0.1"), 8080)
	if _, err := n.Disconnect(t.Context(), path, web.ep.ContainerID, a.ID); !errdefs.IsNotFound(err) {
		t.Errorf("disconnected twice: %v", err)
	}
	again := Request{ContainerID: web.ep.ContainerID, Joins: []Join{{NetworkID: a.ID, Priority: 5, Link: "lan7", Addresses: []netip.Addr{gateway(a, 0).Next().Next().Next()}}}}
	places, err := n.Connect(t.Context(), path, again)
	if err != nil || len(places.Endpoints) != 4 {
		t.Fatal(places, err)
	}
	if got := web.state(); !strings.Contains(got, "default "+gateway(a, 0).String()) || !strings.Contains(got, "lan7 "+again.Joins[0].Addresses[0].String()+"/24") {
		t.Errorf("after connect: %s", got)
	}
	box{t: t}.reaches(netip.MustParseAddr("127.0.0.1"), 8080)
	if _, err := n.Connect(t.Context(), path, again); err == nil {
		t.Error("connected twice")
	}
	for _, m := range []mobynet.Network{std, a, b} {
		if _, err := n.Disconnect(t.Context(), path, web.ep.ContainerID, m.ID); err != nil {
			t.Error(err)
		}
	}
	if got := web.state(); strings.Contains(got, "default") {
		t.Errorf("only the internal network is left: %s", got)
	}
	box{t: t}.refused(netip.MustParseAddr("127.0.0.1"), 8080)
	if _, err := n.Connect(t.Context(), path, Request{ContainerID: web.ep.ContainerID, Joins: []Join{{NetworkID: std.ID}}}); err != nil {
		t.Fatal(err)
	}
	box{t: t}.reaches(netip.MustParseAddr("127.0.0.1"), 8080)
}

func TestAddressesThatAreAskedFor(t *testing.T) {
	n := open(t, testConfig(t))
	lan := define(t, n, mobynet.CreateRequest{Name: "lan", EnableIPv6: six(), IPAM: &mobynet.IPAM{Config: []mobynet.IPAMConfig{
		{Subnet: netip.MustParsePrefix("10.77.0.0/24"), IPRange: netip.MustParsePrefix("10.77.0.64/29"), AuxAddress: map[string]netip.Addr{"printer": netip.MustParseAddr("10.77.0.66")}},
		{Subnet: netip.MustParsePrefix("fd77::/64"), Gateway: netip.MustParseAddr("fd77::ffff")}}}})
	ask := func(addresses ...string) Request {
		r := in(lan)
		for _, a := range addresses {
			r.Joins[0].Addresses = append(r.Joins[0].Addresses, netip.MustParseAddr(a))
		}
		return r
	}
	r := ask("10.77.0.200", "fd77::1:2:3:4")
	r.Joins[0].MAC = net.HardwareAddr{2, 0, 0, 1, 2, 3}
	fixed, dynamic := take(t, n, r), take(t, n, in(lan))
	if fixed.ep.IP.String() != "10.77.0.200/24" || fixed.ep.IP6.String() != "fd77::1:2:3:4/64" || fixed.ep.MAC != "02:00:00:01:02:03" {
		t.Errorf("%+v", fixed.ep)
	}
	if dynamic.ip.String() != "10.77.0.65" { // .64 is the gateway
		t.Errorf("%+v", dynamic.ep)
	}
	fixed.listen(80)
	dynamic.reaches(fixed.ip, 80)
	for _, row := range []struct {
		r    Request
		is   func(error) bool
		want string
	}{
		{ask("10.77.0.200"), errdefs.IsPermissionDenied, "Address already in use"},
		{ask("10.77.0.66"), errdefs.IsPermissionDenied, "Address already in use"},
		{ask("10.78.0.1"), errdefs.IsInvalidArgument, "no configured subnet contains IP address 10.78.0.1"},
		{Request{Joins: []Join{{NetworkID: lan.ID, MAC: net.HardwareAddr{1, 0, 0, 0, 0, 0}}}}, errdefs.IsInvalidArgument, "none of one host"},
		{Request{Joins: []Join{{NetworkID: "none"}}}, errdefs.IsNotFound, "network none not found"},
		{Request{Joins: []Join{{NetworkID: lan.ID, Link: "lo"}}}, errdefs.IsInvalidArgument, "has a link lo already"},
	} {
		if _, err := n.Take(t.Context(), row.r); err == nil || !row.is(err) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%v: %v", row.r.Joins, err)
		}
	}
	// What a failed Take had taken is free again, and what a container had before is had again.
	if got := n.Status(lan.ID).IPAM.Subnets[netip.MustParsePrefix("10.77.0.0/24")]; got.IPsInUse != 6 {
		t.Errorf("%+v", got)
	}
	free(t, n, dynamic)
	before := in(lan)
	before.Joins[0].Before = &dynamic.ep
	again := take(t, n, before)
	if again.ip != dynamic.ip {
		t.Errorf("had %s, got %s", dynamic.ip, again.ip)
	}
	free(t, n, again, fixed)
}

func TestDefinitionErrors(t *testing.T) {
	n := open(t, testConfig(t))
	lan := define(t, n, mobynet.CreateRequest{Name: "lan", IPAM: &mobynet.IPAM{Config: []mobynet.IPAMConfig{{Subnet: netip.MustParsePrefix("10.77.0.0/24")}}}}, "bridge.name=br-lan0")
	sub := func(s string) *mobynet.IPAM {
		return &mobynet.IPAM{Config: []mobynet.IPAMConfig{{Subnet: netip.MustParsePrefix(s)}}}
	}
	for _, row := range []struct {
		q    mobynet.CreateRequest
		is   func(error) bool
		want string
	}{
		{mobynet.CreateRequest{Name: "lan"}, errdefs.IsConflict, "network with name lan already exists"},
		{mobynet.CreateRequest{Name: "x", IPAM: sub("10.77.0.128/25")}, errdefs.IsPermissionDenied, "Pool overlaps with other one on this address space"},
		{mobynet.CreateRequest{Name: "x", IPAM: sub(n.Gateway().Masked().String())}, errdefs.IsPermissionDenied, "Pool overlaps"},
		{mobynet.CreateRequest{Name: "x", Options: map[string]string{"com.docker.network.bridge.name": "br-lan0"}}, errdefs.IsPermissionDenied, "networks have same bridge name"},
		{mobynet.CreateRequest{Name: "x", Options: map[string]string{"com.docker.network.bridge.name": "lo"}}, errdefs.IsFailedPrecondition, "link lo is in the way"},
	} {
		if _, err := n.Create(t.Context(), row.q); err == nil || !row.is(err) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%+v: %v", row.q, err)
		}
	}
	if err := n.Remove(t.Context(), n.standard.def.ID); !errdefs.IsPermissionDenied(err) {
		t.Errorf("the default network was removed: %v", err)
	}
	if files, err := os.ReadDir(n.dir()); err != nil || len(files) != 1 || files[0].Name() != lan.ID+".json" {
		t.Errorf("files: %v %v", files, err)
	}
}
