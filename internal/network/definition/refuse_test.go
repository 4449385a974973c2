package definition

import (
	"net/netip"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

func TestRefuses(t *testing.T) {
	six := true
	subnet := func(s string) network.CreateRequest {
		return network.CreateRequest{Name: "x", EnableIPv6: &six, IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix(s)}}}}
	}
	mtu := func(s string) network.CreateRequest {
		return network.CreateRequest{Name: "x", Options: map[string]string{bridgeMTU: s}}
	}
	for what, q := range map[string]network.CreateRequest{
		"loopback": subnet("127.0.0.0/8"), "multicast": subnet("224.0.0.0/24"), "too small": subnet("10.0.0.0/31"),
		"not the first address": subnet("10.0.0.1/24"), "mapped": subnet("::ffff:10.0.0.0/104"),
		"small MTU": mtu("67"), "negative MTU": mtu("-1"), "large MTU": mtu("65536"), "MTU of words": mtu("many"),
	} {
		if _, err := New(q); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, q := range []network.CreateRequest{subnet("10.0.0.0/30"), mtu("0"), mtu("68"), mtu("65535")} {
		if _, err := New(q); err != nil {
			t.Errorf("%+v: %v", q, err)
		}
	}
}
