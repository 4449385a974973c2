// Package files writes the files about a container's name and network that it
// sees in /etc. They are not synced: each start writes them anew.
package files

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network"
	"github.com/berth-containers/berth/internal/network/hostsfile"
	"github.com/berth-containers/berth/internal/spec"
)

// Write writes hostname, hosts and resolv.conf into the container's directory dir
// and names them in the specification's input. linked are further lines of hosts.
func Write(dir string, r *container.Record, p network.Places, gateway netip.Addr, linked []string, in *spec.Input) error {
	name(dir, in)
	hosts, err := hosts(r, p.Endpoints, gateway)
	if err != nil {
		return err
	}
	hosts = append(hosts, strings.Join(linked, "")...)
	resolv, err := resolvConf(r, p.Named)
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

// Change writes into the files of a container that runs what has changed of its
// places. What a program inside has made of its hosts stays, and of its
// resolv.conf everything.
func Change(dir string, before, after *container.Record, gateway netip.Addr, named bool) error {
	var in spec.Input
	name(dir, &in)
	old, err := hosts(before, before.Endpoints(), gateway)
	if err != nil {
		return err
	}
	now, err := hosts(after, after.Endpoints(), gateway)
	if err != nil {
		return err
	}
	have, err := os.ReadFile(in.HostsFile)
	if err != nil {
		return fmt.Errorf("read a file of the container: %w", err)
	}
	if err := writeFile(in.HostsFile, edit(have, old, now)); err != nil {
		return err
	}
	was, err := resolvConf(before, !named)
	if err != nil {
		return err
	}
	if have, err = os.ReadFile(in.ResolvConfFile); err != nil || !bytes.Equal(have, was) {
		return err
	}
	resolv, err := resolvConf(after, named)
	if err != nil {
		return err
	}
	return writeFile(in.ResolvConfFile, resolv)
}

// edit takes the lines out of have that are in old only, and adds those that are
// in now only.
func edit(have, old, now []byte) []byte {
	lines := func(b []byte) []string { return slices.Collect(strings.Lines(string(b))) }
	was, is := lines(old), lines(now)
	kept := slices.DeleteFunc(lines(have), func(l string) bool { return slices.Contains(was, l) && !slices.Contains(is, l) })
	for _, l := range is {
		if !slices.Contains(was, l) {
			kept = append(kept, l)
		}
	}
	return []byte(strings.Join(kept, ""))
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

func hosts(r *container.Record, endpoints []container.Endpoint, gateway netip.Addr) ([]byte, error) {
	if r.HostConfig.NetworkMode.IsHost() {
		b, err := os.ReadFile("/etc/hosts")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the host's hosts file: %w", err)
		}
		return appendHosts(b, r.HostConfig.ExtraHosts)
	}
	var own []netip.Addr
	for _, e := range endpoints {
		for _, p := range []netip.Prefix{e.IP, e.IP6} {
			if p.IsValid() {
				own = append(own, p.Addr())
			}
		}
	}
	name := r.Config.Hostname
	if r.Config.Domainname != "" {
		name += "." + r.Config.Domainname
	}
	return hostsfile.Hosts(name, own, r.HostConfig.ExtraHosts, gateway)
}

// appendHosts adds --add-host to the host's own file; the host itself is at its
// loopback then.
func appendHosts(host []byte, extra []string) ([]byte, error) {
	if len(extra) == 0 {
		return host, nil
	}
	lines, err := hostsfile.Hosts("", nil, extra, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	if err != nil {
		return nil, err
	}
	plain, err := hostsfile.Hosts("", nil, nil, netip.Addr{})
	return slices.Concat(host, lines[len(plain):]), err
}

// resolver is where the engine's own name server answers in a sandbox.
const resolver = "127.0.0.11"

const hostConf = "/etc/resolv.conf"

// resolvConf names the engine's own name server where that answers.
func resolvConf(r *container.Record, named bool) ([]byte, error) {
	host, err := os.ReadFile(hostConf)
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
	if named {
		conf, _ := hostsfile.Embedded(resolver, host, hostConf, dns, h.DNSSearch, h.DNSOptions)
		return conf, nil
	}
	return hostsfile.Resolv(host, dns, h.DNSSearch, h.DNSOptions), nil
}

// HoldSingle is whether the container's resolver completes a name without a dot
// itself, so that it must not be asked outside as it is.
func HoldSingle(r *container.Record) bool {
	host, err := os.ReadFile(hostConf)
	if err != nil {
		return false
	}
	_, held := hostsfile.Embedded(resolver, host, hostConf, nil, nil, r.HostConfig.DNSOptions)
	return held
}
