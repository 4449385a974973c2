package containers

import (
	"net/netip"
	"testing"

	"github.com/moby/moby/api/types/container"
)

func TestPortsText(t *testing.T) {
	any4, any6 := netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("::")
	for want, ports := range map[string][]container.PortSummary{
		"":               nil,
		"80/tcp, 53/udp": {{PrivatePort: 53, Type: "udp"}, {PrivatePort: 80, Type: "tcp"}},
		"0.0.0.0:8000-8001->80-81/tcp, [::]:8000->80/tcp, 443/tcp": {{IP: any4, PrivatePort: 81, PublicPort: 8001, Type: "tcp"},
			{IP: any4, PrivatePort: 80, PublicPort: 8000, Type: "tcp"}, {IP: any6, PrivatePort: 80, PublicPort: 8000, Type: "tcp"}, {PrivatePort: 443, Type: "tcp"}},
		"80-81/tcp": {{PrivatePort: 80, Type: "tcp"}, {PrivatePort: 81, Type: "tcp"}},
	} {
		if got := portsText(ports); got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}
