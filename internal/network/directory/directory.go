// Package directory knows who is called what in the user-defined networks: what
// a DNS server in a container's sandbox answers from.
//
// It is memory only and set as a whole, container by container, by the network:
// after a crash of the engine Restore fills it again before the first answer.
// The default network, host and none have no names and are not in it. Names
// don't depend on case.
package directory

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Endpoint is a running container's place in one user-defined network.
type Endpoint struct {
	NetworkID   string
	NetworkName string
	// Names are the container's name, its network aliases, its short ID and its
	// host name, without repetition; the first answers reverse look-ups.
	Names []string
	Addrs []netip.Addr // IPv4, IPv6 or both
	// Links are names that only this container knows: alias → a name of the
	// same network.
	Links map[string]string
	// Internal: the network has no way out of the host.
	Internal bool
}

// Directory is safe for concurrent use; answers wait for nothing.
type Directory struct {
	mu         sync.RWMutex
	containers map[string][]Endpoint // by container ID, in the order of Set
	networks   map[string]*names     // by network ID
	changed    chan struct{}
}

// names is what is known in one network.
type names struct {
	members int
	byName  map[string][]netip.Addr
	byAddr  map[netip.Addr]string
}

// New returns an empty Directory.
func New() *Directory {
	return &Directory{containers: map[string][]Endpoint{}, networks: map[string]*names{}, changed: make(chan struct{})}
}

// Set says which networks a container is in, the one with its default route
// first; none means that it is gone. The Directory keeps what it is given.
func (d *Directory) Set(containerID string, endpoints []Endpoint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.containers[containerID] {
		d.leave(e)
	}
	delete(d.containers, containerID)
	for _, e := range endpoints {
		d.join(e)
	}
	if len(endpoints) > 0 {
		d.containers[containerID] = endpoints
	}
	close(d.changed)
	d.changed = make(chan struct{})
}

// Lookup returns the addresses of a name as the container sees it: its links
// first, then the names of each of its networks; "name.network" asks in one. An
// answer without addresses of the wanted family exists all the same. The caller
// must not change addrs.
func (d *Directory) Lookup(containerID, name string) (addrs []netip.Addr, found bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	endpoints := d.containers[containerID]
	name = strings.ToLower(name)
	if addrs, found = d.find(endpoints, name, ""); found {
		return addrs, true
	}
	for i := strings.LastIndexByte(name, '.'); i > 0; i = strings.LastIndexByte(name[:i], '.') {
		if addrs, found = d.find(endpoints, name[:i], name[i+1:]); found {
			return addrs, true
		}
	}
	return nil, false
}

func (d *Directory) find(endpoints []Endpoint, name, network string) ([]netip.Addr, bool) {
	for _, e := range endpoints {
		if network != "" && !strings.EqualFold(network, e.NetworkName) {
			continue
		}
		in := d.networks[e.NetworkID]
		if target, ok := e.Links[name]; ok {
			if addrs, ok := in.byName[strings.ToLower(target)]; ok {
				return addrs, true
			}
		}
		if addrs, ok := in.byName[name]; ok {
			return addrs, true
		}
	}
	return nil, false
}

// Reverse returns "name.network" of the container's neighbour with an address.
func (d *Directory) Reverse(containerID string, a netip.Addr) (name string, found bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, e := range d.containers[containerID] {
		if name, ok := d.networks[e.NetworkID].byAddr[a.Unmap()]; ok {
			return name + "." + e.NetworkName, true
		}
	}
	return "", false
}

// External is whether the container may ask name servers outside: one of its
// networks has a way out.
func (d *Directory) External(containerID string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.ContainsFunc(d.containers[containerID], func(e Endpoint) bool { return !e.Internal })
}

// Containers are the IDs of all that are in a network.
func (d *Directory) Containers() []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	ids := make([]string, 0, len(d.containers))
	for id := range d.containers {
		ids = append(ids, id)
	}
	return ids
}

// Changed returns a channel that is closed at the next Set.
func (d *Directory) Changed() <-chan struct{} {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.changed
}

func (d *Directory) join(e Endpoint) {
	in := d.networks[e.NetworkID]
	if in == nil {
		in = &names{byName: map[string][]netip.Addr{}, byAddr: map[netip.Addr]string{}}
		d.networks[e.NetworkID] = in
	}
	in.members++
	for _, n := range e.Names {
		n = strings.ToLower(n)
		// Always a new slice: answers may still be read from the old one.
		in.byName[n] = slices.Concat(in.byName[n], e.Addrs)
	}
	for _, a := range e.Addrs {
		if len(e.Names) > 0 {
			in.byAddr[a] = e.Names[0]
		}
	}
}

func (d *Directory) leave(e Endpoint) {
	in := d.networks[e.NetworkID]
	if in.members--; in.members == 0 {
		delete(d.networks, e.NetworkID)
		return
	}
	for _, n := range e.Names {
		n = strings.ToLower(n)
		kept := make([]netip.Addr, 0, len(in.byName[n]))
		for _, a := range in.byName[n] {
			if !slices.Contains(e.Addrs, a) {
				kept = append(kept, a)
			}
		}
		in.byName[n] = kept
		if len(kept) == 0 {
			delete(in.byName, n)
		}
	}
	for _, a := range e.Addrs {
		delete(in.byAddr, a)
	}
}
