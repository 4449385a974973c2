package conformance

import (
	"net"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestNetDevices(t *testing.T) {
	for _, row := range []struct{ name, want string }{{"", "cnf0"}, {"eth7", "eth7"}, {"ge%d", "ge0"}} {
		t.Run(row.want, func(t *testing.T) {
			b := newBundle(t, "/bin/busybox", "ip", "addr", "show", row.want)
			b.link("cnf0")
			b.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"cnf0": {Name: row.name}}
			out := b.says()
			for _, want := range []string{"192.0.2.7/24", "2001:db8::7/64", ",UP", row.want} {
				if !strings.Contains(out, want) {
					t.Errorf("the device lacks %q:\n%s", want, out)
				}
			}
			if _, err := netlink.LinkByName("cnf0"); err == nil {
				t.Error("the device is still outside")
			}
		})
	}
	for _, row := range []struct{ device, name, want string }{{"cnf0", "lo", "lo"}, {"nosuch0", "", "nosuch0"}, {"cnf0", "bad/name", "bad/name"}, {"cnf0", "muchtoolonganame", "muchtoolonganame"}} {
		t.Run(row.want, func(t *testing.T) {
			b := newBundle(t)
			b.link("cnf0")
			b.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{row.device: {Name: row.name}}
			b.fails(row.want)
			if _, err := netlink.LinkByName("cnf0"); err != nil {
				t.Errorf("the device is gone after a create that failed: %v", err)
			}
		})
	}
	b := newBundle(t)
	b.link("cnf0")
	b.without(specs.NetworkNamespace)
	b.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"cnf0": {}}
	b.fails("netDevices|network namespace")
}

// link makes a veth pair in the lab with an address and takes it away again.
func (b *bundle) link(name string) {
	b.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	b.must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"}))
	b.undo(func() {
		if l, err := netlink.LinkByName(name + "p"); err == nil {
			_ = netlink.LinkDel(l)
		}
	})
	l, err := netlink.LinkByName(name)
	b.must(err)
	b.must(netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 7), Mask: net.CIDRMask(24, 32)}}))
	b.must(netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP("2001:db8::7"), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD}))
}
