package ipam

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

func pool(t *testing.T, path, subnet string) *Pool {
	t.Helper()
	s, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Subnet = netip.MustParsePrefix(subnet)
	p, err := New(path, s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func next(t *testing.T, p *Pool) netip.Addr {
	t.Helper()
	a, err := p.Next()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAddressComesBackLast(t *testing.T) {
	p := pool(t, filepath.Join(t.TempDir(), "a"), "10.0.0.0/29")
	if !p.Claim(netip.MustParseAddr("10.0.0.1")) || p.Claim(netip.MustParseAddr("10.0.0.1")) {
		t.Error("claim of a free address, then of the same")
	}
	first := next(t, p)
	p.Free(first)
	var last netip.Addr
	for range 5 {
		last = next(t, p)
	}
	if first != netip.MustParseAddr("10.0.0.2") || last != first {
		t.Errorf("first %s, sixth %s", first, last)
	}
	if _, err := p.Next(); !errdefs.IsResourceExhausted(err) {
		t.Errorf("full subnet: %v", err)
	}
	for _, a := range []string{"10.0.0.0", "10.0.0.7", "10.0.1.1", "::1"} {
		if p.Claim(netip.MustParseAddr(a)) {
			t.Errorf("claimed %s", a)
		}
	}
}

func TestRoundGoesOnAfterCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	seen := map[netip.Addr]bool{}
	for range 3 {
		p := pool(t, path, "10.0.0.0/16")
		for range ahead + 10 {
			a := next(t, p)
			if seen[a] {
				t.Fatalf("%s came twice", a)
			}
			seen[a] = true
			p.Free(a)
		}
	}
}

func TestNoRoom(t *testing.T) {
	for _, subnet := range []string{"10.0.0.0/31", "10.0.0.0/32", "2001:db8::/64"} {
		_, err := New(filepath.Join(t.TempDir(), "a"), State{Subnet: netip.MustParsePrefix(subnet)})
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", subnet, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"subnet":"10.0.0.0/16","next":7}`))
	f.Add([]byte(`{"subnet":"2001:db8::/64"}`))
	f.Add([]byte(`{"next":4294967295,"subnet":"10.0.0.0/30"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Load(path)
		if err != nil || !s.Subnet.IsValid() {
			return
		}
		p, err := New(path, s)
		if err != nil {
			return
		}
		if a := next(t, p); !s.Subnet.Contains(a) {
			t.Errorf("%s is not in %s", a, s.Subnet)
		}
	})
}
