package definition

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

func request(t testing.TB, text string) network.CreateRequest {
	t.Helper()
	var q network.CreateRequest
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		t.Fatal(err)
	}
	return q
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

func TestComplete(t *testing.T) {
	taken := prefixes("172.18.0.0/24", "172.18.1.0/24", "10.5.0.0/16")
	routed := prefixes("172.18.2.0/23", "192.168.0.0/16")
	for body, want := range map[string]string{
		`{"Name":"n"}`: "172.18.4.0/24 172.18.4.1",
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.9.0.0/24"}]}}`:                                                                                              "10.9.0.0/24 10.9.0.1",
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.9.0.0/24","IPRange":"10.9.0.64/26"}]}}`:                                                                     "10.9.0.0/24 10.9.0.64",
		`{"Name":"n","EnableIPv6":true,"IPAM":{"Config":[{"Subnet":"fd00:1::/64"},{"Subnet":"10.9.0.0/24","Gateway":"10.9.0.9"}]}}`:                              "10.9.0.0/24 10.9.0.9 fd00:1::/64 fd00:1::1",
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"fd00:1::/64"}]}}`:                                                                                              "172.18.4.0/24 172.18.4.1", // IPv6 is off
		`{"Name":"n","EnableIPv4":false,"EnableIPv6":true,"IPAM":{"Config":[{"Subnet":"fd00:1::/64"}]}}`:                                                         "fd00:1::/64 fd00:1::1",
		`{"Name":"n","Options":{"com.docker.network.enable_ipv6":"true","com.docker.network.enable_ipv4":"false"},"IPAM":{"Config":[{"Subnet":"fd00:1::/64"}]}}`: "fd00:1::/64 fd00:1::1",
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"192.168.7.0/24"}]}}`:                                                                                           "192.168.7.0/24 192.168.7.1", // asked for, although there is a route
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.5.9.0/24"}]}}`:                                                                                              "!Pool overlaps with other one on this address space",
	} {
		n, err := New(request(t, body))
		if err == nil {
			err = Complete(&n, "id", "seed", taken, routed)
		}
		var got []string
		for _, c := range n.IPAM.Config {
			got = append(got, c.Subnet.String(), c.Gateway.String())
		}
		if refusal, ok := strings.CutPrefix(want, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), refusal) {
				t.Errorf("%s: %v", body, err)
			}
		} else if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %s %v, want %s", body, got, err, want)
		}
	}
	if _, ok := pick(false, "seed", prefixes("0.0.0.0/0")); ok {
		t.Error("a subnet was found where none is free")
	}
	six, ok := pick(true, "seed", nil)
	next, _ := pick(true, "seed", []netip.Prefix{six})
	if !ok || six.Bits() != 64 || six.Addr().As16()[0] != 0xfd || next == six || netip.PrefixFrom(next.Addr(), 48).Masked().Addr() != netip.PrefixFrom(six.Addr(), 48).Masked().Addr() {
		t.Errorf("%s, then %s", six, next)
	}
}

func TestRefusals(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                                                        "invalid name: name is empty",
		`{"Name":"bridge"}`:                                         "operation is not permitted on predefined bridge network ",
		`{"Name":"default"}`:                                        "operation is not permitted on predefined default network ",
		`{"Name":"n","Driver":"host"}`:                              `only one instance of "host" network is allowed`,
		`{"Name":"n","Driver":"overlay"}`:                           "This node is not a swarm manager.",
		`{"Name":"n","Scope":"swarm"}`:                              "This node is not a swarm manager.",
		`{"Name":"n","Driver":"macvlan"}`:                           `plugin "macvlan" not found`,
		`{"Name":"n","ConfigOnly":true}`:                            "config-only networks are not supported",
		`{"Name":"n","ConfigFrom":{"Network":"c"}}`:                 `configuration network "c" does not exist`,
		`{"Name":"n","IPAM":{"Driver":"x"}}`:                        `IPAM driver "x"`,
		`{"Name":"n","EnableIPv4":false}`:                           "IPv4 or IPv6 must be enabled",
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.1/24"}]}}`: "invalid network config:\ninvalid subnet 10.0.0.1/24: it should be 10.0.0.0/24",
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.0/31"}]}}`: "no room for a gateway",
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.0/24","Gateway":"10.1.0.1"}]}}`:                  "invalid gateway 10.1.0.1: parent subnet 10.0.0.0/24 doesn't contain this address",
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.0/24","Gateway":"fd00::1"}]}}`:                   "parent subnet is an IPv4 block",
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.0/24","IPRange":"10.0.0.0/16"}]}}`:               "CIDR block is bigger than its parent subnet 10.0.0.0/24",
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.0/24","IPRange":"10.1.0.0/25"}]}}`:               "doesn't contain ip-range",
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.0/24","AuxiliaryAddresses":{"a":"10.1.0.0"}}]}}`: "invalid auxiliary address a",
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.0/24"},{"Subnet":"10.1.0.0/24"}]}}`:              "bridge driver doesn't support multiple subnets",
		`{"Name":"n","IPAM":{"Config":[{"Gateway":"10.1.0.0"}]}}`:                                         "needs the subnet that it is in",
		`{"Name":"n","Options":{"com.docker.network.bridge.enable_icc":"maybe"}}`:                         `invalid value "maybe" of option com.docker.network.bridge.enable_icc`,
		`{"Name":"n","Options":{"com.docker.network.driver.mtu":"x"}}`:                                    "number from 68 to 65535",
		`{"Name":"n","Options":{"com.docker.network.bridge.name":"a/b"}}`:                                 "a link's name",
		`{"Name":"n","Options":{"com.docker.network.bridge.host_binding_ipv4":"x"}}`:                      "no IP address",
		`{"Name":"n","Options":{"com.docker.network.bridge.gateway_mode_ipv4":"routed"}}`:                 "only nat is supported",
	} {
		if _, err := New(request(t, body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestRead(t *testing.T) {
	n, err := New(request(t, `{"Name":"n","Internal":true,"Options":{"com.docker.network.bridge.enable_icc":"false","com.docker.network.bridge.enable_ip_masquerade":"0",
		"com.docker.network.driver.mtu":"1400","com.docker.network.bridge.name":"br0","com.docker.network.bridge.host_binding_ipv4":"127.0.0.1","other":"x"}}`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Read(n)
	if want := "{br0 1400 true false false 127.0.0.1 eth"; err != nil || !strings.HasPrefix(fmt.Sprint(s), want) {
		t.Errorf("%v %v, want %s", s, err, want)
	}
	if n.Options["other"] != "x" {
		t.Error("an option that means nothing here is lost")
	}
}

func TestBuiltin(t *testing.T) {
	host, none := Builtin("seed", "host", time.Unix(0, 0)), Builtin("seed", "none", time.Unix(0, 0))
	if host.ID == none.ID || len(host.ID) != 64 || host.ID != BuiltinID("seed", "host") || none.Driver != "null" {
		t.Errorf("%+v %+v", host, none)
	}
}

// What is stored can be read again, whatever was asked for.
func FuzzNew(f *testing.F) {
	for _, s := range []string{`{"Name":"n","EnableIPv6":true}`, `{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.0/8","IPRange":"10.0.0.0/9","Gateway":"10.0.0.1"}]}}`,
		`{"Name":"n","IPAM":{"Config":[{"Subnet":"::ffff:10.0.0.0/120"}]}}`, `{"Name":"n","EnableIPv6":true,"IPAM":{"Config":[{"Subnet":"::/0"}]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var q network.CreateRequest
		if json.Unmarshal(body, &q) != nil {
			return
		}
		n, err := New(q)
		if err == nil {
			err = Complete(&n, strings.Repeat("a", 64), "seed", nil, nil)
		}
		if err != nil {
			if errdefs.IsInternal(err) || errdefs.IsUnknown(err) {
				t.Errorf("%s: %v", body, err)
			}
			return
		}
		b, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		var again network.Network
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		s, err := Read(again)
		if err != nil || n.EnableIPv4 != s.V4.Is() || n.EnableIPv6 != s.V6.Is() {
			t.Errorf("%s: %+v %v", b, s, err)
		}
		for _, sub := range []Subnet{s.V4, s.V6} {
			if sub.Is() && !sub.Prefix.Contains(sub.Gateway) {
				t.Errorf("gateway %s is not of %s", sub.Gateway, sub.Prefix)
			}
		}
	})
}
