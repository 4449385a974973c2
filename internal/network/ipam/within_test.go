package ipam

import (
	"net/netip"
	"testing"

	"github.com/containerd/errdefs"
)

func TestWithin(t *testing.T) {
	for _, row := range []struct {
		subnet, part string
		first, last  string
		offset       uint32 // of first
		free         uint64
	}{
		{"10.0.0.0/29", "", "10.0.0.1", "10.0.0.6", 1, 6},
		{"10.0.0.0/24", "10.0.0.128/30", "10.0.0.128", "10.0.0.131", 0, 4},
		{"10.0.0.0/24", "10.0.0.252/30", "10.0.0.252", "10.0.0.254", 0, 3},
		{"10.0.0.0/24", "10.0.0.0/30", "10.0.0.1", "10.0.0.3", 1, 3},
		{"10.0.0.0/24", "10.0.0.7/32", "10.0.0.7", "10.0.0.7", 0, 1},
		{"fd00::/125", "", "fd00::1", "fd00::7", 1, 7},
		{"fd00::/64", "fd00::ffff:ffff:0:0/126", "fd00::ffff:ffff:0:0", "fd00::ffff:ffff:0:3", 0, 4},
		{"fd00::/64", "", "fd00::1", "", 1, MaxHosts - 1},
		{"0.0.0.0/0", "", "0.0.0.1", "", 1, MaxHosts - 1},
	} {
		var part netip.Prefix
		if row.part != "" {
			part = netip.MustParsePrefix(row.part)
		}
		p, err := Within(netip.MustParsePrefix(row.subnet), part)
		if err != nil {
			t.Fatal(err)
		}
		if _, free := p.Used(); free != row.free {
			t.Errorf("%s %s: %d free, want %d", row.subnet, row.part, free, row.free)
		}
		first := next(t, p)
		if first.String() != row.first || p.Offset(first) != row.offset {
			t.Errorf("%s %s: first %s at %d", row.subnet, row.part, first, p.Offset(first))
		}
		last := first
		for range row.free - 1 {
			if row.last == "" {
				break
			}
			last = next(t, p)
		}
		if row.last != "" && last.String() != row.last {
			t.Errorf("%s %s: last %s", row.subnet, row.part, last)
		}
	}
}

func TestPartWithoutHosts(t *testing.T) {
	for subnet, part := range map[string]string{"10.0.0.0/24": "10.0.0.0/32", "10.0.1.0/24": "10.0.1.255/32", "fd00::/64": "fd00::/128"} {
		if _, err := Within(netip.MustParsePrefix(subnet), netip.MustParsePrefix(part)); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s of %s: %v", part, subnet, err)
		}
	}
}

func TestClaimOutsidePart(t *testing.T) {
	p, err := Within(netip.MustParsePrefix("fd00::/64"), netip.MustParsePrefix("fd00::100/120"))
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]bool{"fd00::1": true, "fd00::dead:beef:0:1": true, "fd00::": false, "fd00:0:0:1::1": false, "10.0.0.1": false} {
		if got := p.Claim(netip.MustParseAddr(a)); got != want {
			t.Errorf("claim %s: %v", a, got)
		}
	}
	if used, free := p.Used(); used != 2 || free != 256 {
		t.Errorf("%d used, %d free", used, free)
	}
}
