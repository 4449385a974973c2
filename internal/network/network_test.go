package network

import (
	"net/netip"
	"testing"

	"github.com/berth-containers/berth/internal/container"
)

func TestPublishedPortIsReached(t *testing.T) {
	n := open(t, testConfig(t))
	out := outside(t)
	ports := []container.Port{
		{Proto: "tcp", HostPort: 8080, ContainerPort: 80}, {Proto: "udp", HostPort: 8080, ContainerPort: 80},
		{Proto: "tcp", HostIP: hostSide.Addr(), HostPort: 8081, ContainerPort: 80},
		{Proto: "tcp", HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 8082, ContainerPort: 80},
	}
	web, other := take(t, n, Request{Ports: ports}), take(t, n, Request{})
	web.serve(80)
	host, local := box{t: t}, netip.MustParseAddr("127.0.0.1")
	gateway := n.Gateway().Addr().String()
	for _, c := range []struct {
		name  string
		from  box
		proto string
		ip    netip.Addr
		port  uint16
		sees  string
	}{
		{"outside", out, "tcp", hostSide.Addr(), 8080, outsideSide.Addr().String()},
		{"outside, udp", out, "udp", hostSide.Addr(), 8080, outsideSide.Addr().String()},
		{"outside, one address", out, "tcp", hostSide.Addr(), 8081, outsideSide.Addr().String()},
		{"host", host, "tcp", hostSide.Addr(), 8080, hostSide.Addr().String()},
		{"host, udp", host, "udp", hostSide.Addr(), 8080, hostSide.Addr().String()},
		{"loopback", host, "tcp", local, 8080, gateway},
		{"loopback, udp", host, "udp", local, 8080, gateway},
		{"loopback only", host, "tcp", local, 8082, gateway},
		{"hairpin", web, "tcp", hostSide.Addr(), 8080, gateway},
		{"hairpin by gateway, udp", web, "udp", n.Gateway().Addr(), 8080, gateway},
		{"other container by the host", other, "tcp", hostSide.Addr(), 8080, gateway},
		{"other container", other, "tcp", web.ip, 80, other.ip.String()},
		{"host to container", host, "tcp", web.ip, 80, gateway},
	} {
		t.Run(c.name, func(t *testing.T) {
			sees, err := c.from.ask(c.proto, c.ip, c.port)
			if err != nil || sees != c.sees {
				t.Errorf("%s %s:%d: server sees %q, %v; want %s", c.proto, c.ip, c.port, sees, err, c.sees)
			}
		})
	}
}
