package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	mobynet "github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/atomicfile"
	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/network/definition"
)

// stored is a network's file.
type stored struct {
	Network mobynet.Network `json:"network"`
	// Foreign: the bridge was there before the network and outlives it.
	Foreign bool `json:"foreign,omitempty"`
}

func (n definitions) dir() string { return filepath.Join(n.state, "networks") }

func (n definitions) file(id string) string { return filepath.Join(n.dir(), id+".json") }

// Networks are the definitions of all networks, host and none among them, in
// the order of their making.
func (n definitions) Networks() []mobynet.Network {
	n.mu.Lock()
	all := make([]mobynet.Network, 0, len(n.segments)+2)
	for _, s := range n.segments {
		all = append(all, s.def)
	}
	n.mu.Unlock()
	all = append(all, definition.Builtin(n.seed, mobynet.NetworkHost, n.started), definition.Builtin(n.seed, mobynet.NetworkNone, n.started))
	slices.SortFunc(all, func(a, b mobynet.Network) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all
}

// Status is how many addresses of a network are in use.
func (n definitions) Status(id string) *mobynet.Status {
	status := &mobynet.Status{IPAM: mobynet.IPAMStatus{Subnets: mobynet.SubnetStatuses{}}}
	n.mu.Lock()
	s := n.segments[id]
	n.mu.Unlock()
	if s == nil {
		return status
	}
	for _, p := range s.pools() {
		used, free := p.Used()
		reserved := uint64(1) // the subnet's own, and the broadcast address
		if p.Subnet().Addr().Is4() {
			reserved = 2
		}
		status.IPAM.Subnets[p.Subnet()] = mobynet.SubnetStatus{IPsInUse: used + reserved, DynamicIPsAvailable: free}
	}
	return status
}

// Create makes a network and returns it complete. A crash in the middle leaves
// it whole or not at all: its file comes first, and Open makes what it says.
func (n definitions) Create(ctx context.Context, q mobynet.CreateRequest) (mobynet.Network, error) {
	def, err := definition.New(q)
	if err != nil {
		return def, err
	}
	n.defining.Lock()
	defer n.defining.Unlock()
	if err := ctx.Err(); err != nil {
		return def, err
	}
	if err := n.complete(&def); err != nil {
		return def, err
	}
	s, err := newSegment(stored{Network: def})
	if err != nil {
		return def, err
	}
	if err := n.free(s.link); err != nil {
		return def, err
	}
	if s.foreign, err = bridge.Exists(s.link); err != nil {
		return def, err
	}
	data, err := json.Marshal(stored{def, s.foreign})
	if err != nil {
		return def, fmt.Errorf("write network %s: %w", def.Name, err)
	}
	if err := atomicfile.Write(n.file(def.ID), data, 0o600); err != nil {
		return def, err
	}
	err = s.ensure()
	if err == nil {
		n.mu.Lock()
		n.segments[def.ID] = s
		n.mu.Unlock()
		err = n.table.Set(n.desired)
	}
	if err != nil {
		n.mu.Lock()
		delete(n.segments, def.ID)
		n.mu.Unlock()
		return def, errors.Join(fmt.Errorf("make network %s: %w", def.Name, err), n.discard(s))
	}
	return def, nil
}

// complete chooses what is chosen by what is free.
func (n definitions) complete(def *mobynet.Network) error {
	var taken []netip.Prefix
	var links []string
	n.mu.Lock()
	for _, s := range n.segments {
		if s.def.Name == def.Name {
			n.mu.Unlock()
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("network with name %s already exists", def.Name))
		}
		links = append(links, s.link)
		for _, p := range s.pools() {
			taken = append(taken, p.Subnet())
		}
	}
	n.mu.Unlock()
	routed, err := bridge.InUse(links...)
	if err != nil {
		return err
	}
	return definition.Complete(def, newID(), n.seed, taken, routed)
}

// free refuses a bridge that another network has.
func (n definitions) free(link string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, s := range n.segments {
		if s.link == link {
			return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("conflicts with network %s (%s): networks have same bridge name", id, link))
		}
	}
	return nil
}

func newSegment(f stored) (*segment, error) {
	set, err := definition.Read(f.Network)
	if err != nil {
		return nil, err
	}
	s := &segment{def: f.Network, set: set, foreign: f.Foreign, link: set.Bridge}
	if s.link == "" {
		s.link = "br-" + f.Network.ID[:12]
	}
	return s, nil
}

// Remove takes a network away that nobody is in. One that could not be is still
// there, to be removed again.
func (n definitions) Remove(_ context.Context, id string) error {
	n.defining.Lock()
	defer n.defining.Unlock()
	n.mu.Lock()
	s := n.segments[id]
	switch {
	case s == nil:
		n.mu.Unlock()
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", id))
	case !s.userDefined():
		n.mu.Unlock()
		return errdefs.ErrPermissionDenied.WithMessage(s.def.Name + " is a pre-defined network and cannot be removed")
	case s.members > 0:
		n.mu.Unlock()
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("error while removing network: network %s has active endpoints", s.def.Name))
	}
	s.gone = true
	n.mu.Unlock()
	err := n.discard(s)
	n.mu.Lock()
	if s.gone = err == nil; s.gone {
		delete(n.segments, id)
	}
	n.mu.Unlock()
	if err = errors.Join(err, n.table.Set(n.desired)); err != nil {
		return fmt.Errorf("remove network %s: %w", s.def.Name, err)
	}
	return nil
}

// discard takes away what a network consists of, its file last.
func (n definitions) discard(s *segment) error {
	if err := n.removeBridges(s); err != nil {
		return err
	}
	err := os.Remove(n.file(s.def.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (n definitions) removeBridges(s *segment) error {
	links, err := bridge.Links()
	errs := []error{err}
	for _, l := range links {
		id, ok := n.shardOf(l.Attrs().Name)
		if ok && s.has(l.Attrs().Index) {
			errs = append(errs, bridge.Remove("bt"+n.instance+id), bridge.RemoveIndex(l.Attrs().Index))
		}
	}
	if !s.foreign {
		errs = append(errs, bridge.Remove(s.link))
	}
	return errors.Join(errs...)
}

// load makes the networks that are defined on disk. One that cannot be made is
// left out with a warning: the others, and their containers, need not wait.
func (n definitions) load() error {
	entries, err := os.ReadDir(n.dir())
	if err != nil {
		return fmt.Errorf("read the networks: %w", err)
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			if strings.HasPrefix(e.Name(), ".tmp-") { // a crash while it was written
				err = errors.Join(err, os.Remove(filepath.Join(n.dir(), e.Name())))
			}
			continue
		}
		if err := n.loadOne(id); err != nil {
			n.log.Error("a network is left out: what its file says cannot be made; mend it and start the engine again, or remove the file",
				"file", n.file(id), "error", err)
		}
	}
	return err
}

func (n definitions) loadOne(id string) error {
	data, err := os.ReadFile(n.file(id))
	if err != nil {
		return err
	}
	var f stored
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	if f.Network.ID != id || len(id) != 64 || f.Network.Name == "" {
		return errors.New("its ID or name is missing or wrong")
	}
	s, err := newSegment(f)
	if err != nil {
		return err
	}
	if err := s.ensure(); err != nil {
		return err
	}
	n.segments[id] = s
	return nil
}

// all are the segments at this moment.
func (n *core) all() []*segment {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.segments))
}
