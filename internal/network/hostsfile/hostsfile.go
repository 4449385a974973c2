// Package hostsfile writes the contents of a container's /etc/resolv.conf and
// /etc/hosts. It reads and writes no file.
package hostsfile

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// HostGateway as the address of an extra host means the host itself.
const HostGateway = "host-gateway"

// public are Docker's name servers for a host whose own cannot be reached from
// a container.
var public = [...]string{"8.8.8.8", "8.8.4.4"}

// Resolv returns a container's resolv.conf. Of the host's, each of name
// servers, search domains and options is kept unless others are given. A name
// server on the host's loopback is left out; with none left, Docker's public
// ones are used. A search of "." means none.
func Resolv(host []byte, dns, search, options []string) []byte {
	servers, hostSearch, hostOptions := parse(host)
	if len(dns) == 0 {
		dns = slices.DeleteFunc(servers, unreachable)
		if len(dns) == 0 {
			dns = public[:]
		}
	}
	if len(search) == 0 {
		search = hostSearch
	}
	if len(search) == 1 && search[0] == "." {
		search = nil
	}
	if len(options) == 0 {
		options = hostOptions
	}
	var b bytes.Buffer
	for _, s := range dns {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	line(&b, "search", search)
	line(&b, "options", options)
	return b.Bytes()
}

func line(b *bytes.Buffer, word string, values []string) {
	if len(values) > 0 {
		fmt.Fprintf(b, "%s %s\n", word, strings.Join(values, " "))
	}
}

// Servers are the name servers of a resolv.conf.
func Servers(conf []byte) []netip.Addr {
	words, _, _ := parse(conf)
	servers := make([]netip.Addr, 0, len(words))
	for _, w := range words {
		if a, err := netip.ParseAddr(w); err == nil && !a.IsUnspecified() {
			servers = append(servers, a)
		}
	}
	return servers
}

func parse(conf []byte) (servers, search, options []string) {
	for l := range strings.Lines(string(conf)) {
		f := strings.Fields(l)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			servers = append(servers, f[1])
		case "search", "domain": // the last one counts, resolv.conf(5)
			search = f[1:]
		case "options":
			options = append(options, f[1:]...)
		}
	}
	return servers, search, options
}

// unreachable is whether a container on an IPv4 bridge cannot ask the server.
func unreachable(server string) bool {
	a, err := netip.ParseAddr(server)
	return err != nil || !a.Unmap().Is4() || a.Unmap().IsLoopback() || a.IsUnspecified()
}

// Hosts returns a container's hosts file. Each of own, its addresses, gets a line
// with the host name. extra are Docker's --add-host values, "name:address" or
// "name=address"; gateway stands in for the address "host-gateway".
func Hosts(hostname string, own []netip.Addr, extra []string, gateway netip.Addr) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("127.0.0.1\tlocalhost\n" +
		"::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::\tip6-localnet\n" +
		"ff00::\tip6-mcastprefix\n" +
		"ff02::1\tip6-allnodes\n" +
		"ff02::2\tip6-allrouters\n")
	for _, e := range extra {
		name, addr, err := extraHost(e, gateway)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s\t%s\n", addr, name)
	}
	names := hostname
	if short, _, ok := strings.Cut(hostname, "."); ok && short != "" {
		names += " " + short
	}
	for _, ip := range own {
		if hostname != "" {
			fmt.Fprintf(&b, "%s\t%s\n", ip, names)
		}
	}
	return b.Bytes(), nil
}

func extraHost(e string, gateway netip.Addr) (string, netip.Addr, error) {
	i := strings.IndexAny(e, ":=")
	bad := errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid --add-host %q: write it as name:address", e))
	if i <= 0 || strings.ContainsAny(e[:i], " \t\r\n#") {
		return "", netip.Addr{}, bad
	}
	name, value := e[:i], e[i+1:]
	if value == HostGateway {
		if !gateway.IsValid() {
			return "", netip.Addr{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("--add-host %s: this network has no gateway", e))
		}
		return name, gateway, nil
	}
	addr, err := netip.ParseAddr(strings.Trim(value, "[]"))
	if err != nil {
		return "", netip.Addr{}, bad
	}
	return name, addr, nil
}
