package hostsfile

import (
	"strings"
	"testing"
)

func TestEmbedded(t *testing.T) {
	const host = "nameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver bad\nsearch a b\noptions edns0 trust-ad\n"
	for _, row := range []struct {
		name, host           string
		dns, search, options []string
		want                 string
		held                 bool
	}{
		{"the host's", host, nil, nil, nil,
			"nameserver 127.0.0.11|search a b|options edns0 trust-ad ndots:0||# Based on host file: '/etc/resolv.conf' (internal resolver)|" +
				"# ExtServers: [host(127.0.0.53) host(fe80::1%eth0)]|# Overrides: []|# Option ndots from: internal|", false},
		{"given", host, []string{"10.0.0.1"}, []string{"x"}, []string{"ndots:2"},
			"nameserver 127.0.0.11|search x|options ndots:2||# Based on host file: '/etc/resolv.conf' (internal resolver)|" +
				"# ExtServers: [10.0.0.1]|# Overrides: [nameservers search options]|# Option ndots from: override|", true},
		{"nothing", "options ndots:x\n", nil, []string{"."}, nil,
			"nameserver 127.0.0.11|options ndots:0||# Based on host file: '/etc/resolv.conf' (internal resolver)|" +
				"# NO EXTERNAL NAMESERVERS DEFINED|# Overrides: [search]|# Option ndots from: internal|", false},
		{"the host's dots", "nameserver 10.0.0.1\noptions ndots:1\n", nil, nil, nil,
			"nameserver 127.0.0.11|options ndots:1||# Based on host file: '/etc/resolv.conf' (internal resolver)|" +
				"# ExtServers: [host(10.0.0.1)]|# Overrides: []|# Option ndots from: host|", true},
	} {
		conf, held := Embedded("127.0.0.11", []byte(row.host), "/etc/resolv.conf", row.dns, row.search, row.options)
		_, got, _ := strings.Cut(string(conf), "\n")
		if got != strings.ReplaceAll(row.want, "|", "\n") || held != row.held {
			t.Errorf("%s: %v\n%s", row.name, held, got)
		}
	}
}
