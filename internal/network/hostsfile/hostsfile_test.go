package hostsfile

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestResolv(t *testing.T) {
	for _, c := range []struct {
		name, host           string
		dns, search, options []string
		want                 string
	}{
		{"the host's", "# c\nnameserver 10.0.0.1\nsearch a b\noptions ndots:1\noptions rotate\n", nil, nil, nil,
			"nameserver 10.0.0.1\nsearch a b\noptions ndots:1 rotate\n"},
		{"loopback left out", "nameserver 127.0.0.53\nnameserver 10.0.0.1\n", nil, nil, nil, "nameserver 10.0.0.1\n"},
		{"IPv6 left out", "nameserver fe80::1%eth0\nnameserver 10.0.0.1\n", nil, nil, nil, "nameserver 10.0.0.1\n"},
		{"none left", "nameserver 127.0.0.53\nnameserver ::1\n", nil, nil, nil, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"},
		{"no file", "", nil, nil, nil, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"},
		{"given", "nameserver 10.0.0.1\nsearch a\n", []string{"127.0.0.1"}, []string{"x"}, []string{"rotate"},
			"nameserver 127.0.0.1\nsearch x\noptions rotate\n"},
		{"no search", "nameserver 10.0.0.1\nsearch a\n", nil, []string{"."}, nil, "nameserver 10.0.0.1\n"},
		{"last search", "nameserver 10.0.0.1\ndomain a\nsearch b\n", nil, nil, nil, "nameserver 10.0.0.1\nsearch b\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(Resolv([]byte(c.host), c.dns, c.search, c.options)); got != c.want {
				t.Errorf("got:\n%swant:\n%s", got, c.want)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	gateway, ip := netip.MustParseAddr("172.30.0.1"), netip.MustParseAddr("172.30.0.5")
	got, err := Hosts("web.example.org", []netip.Addr{ip}, []string{"a:10.0.0.1", "b=::1", "c:host-gateway", "d:[2001:db8::1]"}, gateway)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"127.0.0.1\tlocalhost\n", "10.0.0.1\ta\n", "::1\tb\n", "172.30.0.1\tc\n", "2001:db8::1\td\n",
		"172.30.0.5\tweb.example.org web\n",
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	for _, extra := range []string{"", "a", ":1.2.3.4", "a:", "a:x", "a b:1.2.3.4", "a\n:1.2.3.4"} {
		if _, err := Hosts("h", []netip.Addr{ip}, []string{extra}, gateway); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", extra, err)
		}
	}
	if _, err := Hosts("h", []netip.Addr{ip}, []string{"c:host-gateway"}, netip.Addr{}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("no gateway: %v", err)
	}
}

func FuzzResolv(f *testing.F) {
	f.Add([]byte("nameserver 127.0.0.53\nsearch a\noptions x\n"))
	f.Add([]byte("nameserver\x00\r\nnameserver 1.1.1.1 x"))
	f.Fuzz(func(t *testing.T, host []byte) {
		once := Resolv(host, nil, nil, nil)
		if !bytes.HasPrefix(once, []byte("nameserver ")) {
			t.Errorf("no name server in %q", once)
		}
		if twice := Resolv(once, nil, nil, nil); !bytes.Equal(once, twice) {
			t.Errorf("%q becomes %q", once, twice)
		}
	})
}

func FuzzHosts(f *testing.F) {
	f.Add("a:1.2.3.4")
	f.Add("a=host-gateway")
	ip := netip.MustParseAddr("172.30.0.5")
	plain, err := Hosts("h", []netip.Addr{ip}, nil, ip)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, extra string) {
		got, err := Hosts("h", []netip.Addr{ip}, []string{extra}, ip)
		if err == nil && bytes.Count(got, []byte("\n")) != bytes.Count(plain, []byte("\n"))+1 {
			t.Errorf("%q makes %q", extra, got)
		}
	})
}
