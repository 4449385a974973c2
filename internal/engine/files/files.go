// Package files writes the files about a container's name and network that it
// sees in /etc. They are not synced: each start writes them anew.
package files

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/hostsfile"
	"github.com/berth-containers/berth/internal/spec"
)

// Write writes hostname, hosts and resolv.conf into the container's directory dir
// and names them in the specification's input.
func Write(dir string, r *container.Record, e *container.Endpoint, gateway netip.Addr, in *spec.Input) error {
	name(dir, in)
	hosts, err := hosts(r, e, gateway)
	if err != nil {
		return err
	}
	resolv, err := resolvConf(r)
	if err != nil {
		return err
	}
	return errors.Join(
		writeFile(in.HostnameFile, []byte(r.Config.Hostname+"\n")),
		writeFile(in.HostsFile, hosts),
		writeFile(in.ResolvConfFile, resolv))
}

// writeFile keeps the inode: a running container that was stopped half-way may
// still have the file mounted.
func writeFile(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("write a file of the container: %w", err)
	}
	return nil
}

// Share uses those of other, whose network r joins and whose directory is dir.
func Share(dir string, other, r *container.Record, in *spec.Input) {
	name(dir, in)
	cfg := *r.Config
	cfg.Hostname, cfg.Domainname = other.Config.Hostname, other.Config.Domainname
	in.Record = r.Clone()
	in.Record.Config = &cfg
}

func name(dir string, in *spec.Input) {
	in.HostnameFile, in.HostsFile, in.ResolvConfFile = filepath.Join(dir, "hostname"), filepath.Join(dir, "hosts"), filepath.Join(dir, "resolv.conf")
}

func hosts(r *container.Record, e *container.Endpoint, gateway netip.Addr) ([]byte, error) {
	if r.HostConfig.NetworkMode.IsHost() {
		b, err := os.ReadFile("/etc/hosts")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the host's hosts file: %w", err)
		}
		return appendHosts(b, r.HostConfig.ExtraHosts)
	}
	var ip netip.Addr
	if e != nil {
		ip = e.IP.Addr()
	}
	name := r.Config.Hostname
	if r.Config.Domainname != "" {
		name += "." + r.Config.Domainname
	}
	return hostsfile.Hosts(name, ip, r.HostConfig.ExtraHosts, gateway)
}

// appendHosts adds --add-host to the host's own file; the host itself is at its
// loopback then.
func appendHosts(host []byte, extra []string) ([]byte, error) {
	if len(extra) == 0 {
		return host, nil
	}
	lines, err := hostsfile.Hosts("", netip.Addr{}, extra, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	if err != nil {
		return nil, err
	}
	plain, err := hostsfile.Hosts("", netip.Addr{}, nil, netip.Addr{})
	return slices.Concat(host, lines[len(plain):]), err
}

func resolvConf(r *container.Record) ([]byte, error) {
	host, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the host's resolv.conf: %w", err)
	}
	h := r.HostConfig
	if h.NetworkMode.IsHost() && len(h.DNS)+len(h.DNSSearch)+len(h.DNSOptions) == 0 {
		return host, nil
	}
	dns := make([]string, 0, len(h.DNS))
	for _, a := range h.DNS {
		dns = append(dns, a.String())
	}
	return hostsfile.Resolv(host, dns, h.DNSSearch, h.DNSOptions), nil
}
