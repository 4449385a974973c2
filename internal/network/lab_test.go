package network

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/sys/netns"
	"github.com/berth-containers/berth/internal/sys/netns/netnstest"
	"github.com/berth-containers/berth/internal/sys/rtnl"
)

const wait = 30 * time.Second

func TestMain(m *testing.M) { netnstest.Main(m, nil) }

func testConfig(t testing.TB) Config {
	var b [4]byte
	rand.Read(b[:])
	up(t, "lo")
	return Config{Instance: hex.EncodeToString(b[:]), StateDir: t.TempDir()}
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// open opens and restores a network that is closed, and has left nothing, when
// the test ends.
func open(t testing.TB, c Config, endpoints ...container.Endpoint) *Network {
	t.Helper()
	n, err := Open(c, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Restore(t.Context(), living(endpoints)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, n) })
	return n
}

// living are containers with one endpoint each.
func living(endpoints []container.Endpoint) []Live {
	var all []Live
	for _, ep := range endpoints {
		all = append(all, Live{ContainerID: ep.ContainerID, Endpoints: []container.Endpoint{ep}})
	}
	return all
}

// std is a request for the default network, unless it names others.
func std(n *Network, r Request) Request {
	if r.Joins == nil {
		r.Joins = []Join{{NetworkID: n.standard.def.ID}}
	}
	return r
}

// prefer asks for an address of the default network that was had before.
func prefer(n *Network, a netip.Addr) Request {
	return Request{Joins: []Join{{NetworkID: n.standard.def.ID, Before: &container.Endpoint{IP: netip.PrefixFrom(a, a.BitLen())}}}}
}

func shut(t testing.TB, n *Network) {
	for _, ep := range n.endpoints() {
		if err := n.Release(context.Background(), ep.ContainerID); err != nil {
			t.Error(err)
		}
	}
	if err := n.Close(context.Background()); err != nil {
		t.Error(err)
	}
	checkClean(t, n)
}

func (n *Network) endpoints() []container.Endpoint {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []container.Endpoint
	for _, p := range n.live {
		all = append(all, p.Endpoint)
	}
	return all
}

func checkClean(t testing.TB, n *Network) {
	t.Helper()
	links, err := bridge.Links()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.Contains(l.Attrs().Name, n.instance) {
			t.Errorf("link %s is left", l.Attrs().Name)
		}
	}
	for _, name := range tables(t) {
		if strings.HasSuffix(name, n.instance) {
			t.Errorf("nftables table %s is left", name)
		}
	}
}

func tables(t testing.TB) []string {
	all, err := (&nftables.Conn{}).ListTables()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, table := range all {
		names = append(names, table.Name)
	}
	return names
}

func up(t testing.TB, name string) {
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(l)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// box is a namespace a test plays the container, or another host, in.
type box struct {
	t  testing.TB
	ns *os.File
	ip netip.Addr
	ep container.Endpoint

	held *[]io.Closer // what keeps the namespace
}

// leave lets the namespace go.
func (b box) leave() {
	for _, c := range *b.held {
		c.Close()
	}
}

func take(t testing.TB, n *Network, r Request) box {
	t.Helper()
	if r.ContainerID == "" {
		r.ContainerID = newID()
	}
	s, err := n.Take(t.Context(), std(n, r))
	if err != nil {
		t.Fatal(err)
	}
	ns, err := os.Open(s.NetNS)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b := box{t: t, ns: ns, ip: s.Endpoints[0].IP.Addr(), ep: s.Endpoints[0], held: &[]io.Closer{ns}}
	t.Cleanup(b.leave)
	return b
}

var (
	hostSide    = netip.MustParsePrefix("192.0.2.1/24")
	outsideSide = netip.MustParsePrefix("192.0.2.2/24")
)

// outside is another host on a link of its own.
func outside(t testing.TB) box {
	t.Helper()
	conn, err := rtnl.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	name := "out" + newID()[:8]
	ns, err := netns.New(func(ns *os.File) error {
		inside, err := rtnl.Dial()
		if err != nil {
			return err
		}
		defer inside.Close()
		v := rtnl.Veth{Name: name, Peer: ns, PeerName: "eth0", PeerMAC: bridge.MAC(outsideSide.Addr())}
		if err := conn.Do(rtnl.AddVeth(v)); err != nil {
			return err
		}
		i, err := inside.Index("eth0")
		if err != nil {
			return err
		}
		return inside.Do(rtnl.Up(1), rtnl.Up(i), rtnl.AddAddress(i, outsideSide), rtnl.AddDefaultRoute(i, hostSide.Addr()))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ns.Close()
		if err := bridge.Remove(name); err != nil {
			t.Error(err)
		}
	})
	i, err := conn.Index(name)
	if err == nil {
		err = conn.Do(rtnl.AddAddress(i, hostSide))
	}
	if err != nil {
		t.Fatal(err)
	}
	return box{t: t, ns: ns, ip: outsideSide.Addr()}
}

// do runs f on a thread in the box; without a box it runs on the host.
func (b box) do(f func() error) error {
	if b.ns == nil {
		return f()
	}
	return netns.Do(b.ns, f)
}

// serve answers each TCP connection and UDP packet with the address it sees as
// the sender's.
func (b box) serve(port uint16) {
	b.t.Helper()
	addr := netip.AddrPortFrom(netip.IPv4Unspecified(), port).String()
	err := b.do(func() error {
		l, err := net.Listen("tcp4", addr)
		if err != nil {
			return err
		}
		p, err := net.ListenPacket("udp4", addr)
		if err != nil {
			return err
		}
		if b.held != nil {
			*b.held = append(*b.held, l, p)
		}
		b.t.Cleanup(func() { l.Close(); p.Close() })
		go echoTCP(l)
		go echoUDP(p)
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func echoTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Write([]byte(c.RemoteAddr().(*net.TCPAddr).IP.String()))
		c.Close()
	}
}

func echoUDP(p net.PacketConn) {
	buf := make([]byte, 64)
	for {
		_, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		p.WriteTo([]byte(from.(*net.UDPAddr).IP.String()), from)
	}
}

// ask connects from the box and returns what the server saw.
func (b box) ask(proto string, ip netip.Addr, port uint16) (string, error) {
	var answer string
	err := b.do(func() error {
		c, err := net.DialTimeout(proto+"4", netip.AddrPortFrom(ip, port).String(), wait)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(wait))
		if _, err := c.Write([]byte("?")); err != nil {
			return err
		}
		buf := make([]byte, 64)
		k, err := c.Read(buf)
		answer = string(buf[:k])
		return err
	})
	return answer, err
}
