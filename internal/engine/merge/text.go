package merge

import (
	"net/netip"
	"strings"
	"unicode"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/network/hostsfile"
)

// checkProgram refuses what execve cannot be given.
func checkProgram(c *container.Config) error {
	for _, l := range []struct {
		option string
		values []string
	}{
		{"--entrypoint", c.Entrypoint}, {"command", c.Cmd}, {"--env", c.Env}, {"--workdir", []string{c.WorkingDir}}, {"--user", []string{c.User}},
	} {
		for _, v := range l.values {
			if strings.ContainsRune(v, 0) {
				return invalid("invalid %s %q: it contains a zero byte", l.option, v)
			}
		}
	}
	return nil
}

// maxName is the kernel's, of a host and of a domain name.
const maxName = 64

// checkNames refuses names that the kernel does not take, or that would write
// lines of their own into the container's hosts file.
func checkNames(c *container.Config) error {
	for _, n := range []struct{ option, value string }{{"--hostname", c.Hostname}, {"--domainname", c.Domainname}} {
		if len(n.value) > maxName {
			return invalid("invalid %s %q: it is longer than the kernel's %d bytes", n.option, n.value, maxName)
		}
		if err := checkLine(n.option, n.value); err != nil {
			return err
		}
	}
	return nil
}

// checkResolver refuses what would write lines of its own into the container's
// resolv.conf or hosts file, and any --add-host that has not its form.
func checkResolver(h *container.HostConfig) error {
	for _, a := range h.DNS {
		if err := checkLine("--dns", a.String()); err != nil { // the zone of an address is any text
			return err
		}
	}
	for _, l := range []struct {
		option string
		values []string
	}{{"--dns-search", h.DNSSearch}, {"--dns-option", h.DNSOptions}, {"--add-host", h.ExtraHosts}} {
		for _, v := range l.values {
			if err := checkLine(l.option, v); err != nil {
				return err
			}
		}
	}
	// Which address a gateway has is known once there is a network.
	_, err := hostsfile.Hosts("", nil, h.ExtraHosts, netip.IPv4Unspecified())
	return err
}

func checkLine(option, value string) error {
	if strings.ContainsFunc(value, unicode.IsControl) {
		return invalid("invalid %s %q: it contains a control character", option, value)
	}
	return nil
}

// checkRuntime takes the runtime's own name and the one that Docker's clients know.
func checkRuntime(name string) error {
	switch name {
	case "", "berth", "runc":
		return nil
	}
	return invalid("unknown or invalid runtime name: %s", name)
}
