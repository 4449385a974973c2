package network

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	mobynet "github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/network/definition"
	"github.com/berth-containers/berth/internal/network/directory"
	"github.com/berth-containers/berth/internal/network/ipam"
	"github.com/berth-containers/berth/internal/network/publish"
	"github.com/berth-containers/berth/internal/network/sandbox"
	"github.com/berth-containers/berth/internal/sys/rtnl"
)

// poolSize is how many sandboxes are kept ready: enough for the containers
// that two processors can start in the time a refill takes.
const poolSize = 8

// Network is all networks of one engine.
type Network struct {
	*core
	definitions
}

// definitions are the networks that there are.
type definitions struct{ *core }

// core is what everything here shares.
type core struct {
	instance string
	seed     string
	state    string // directory
	started  time.Time
	log      *slog.Logger

	host     *rtnl.Conn
	table    *publish.Table
	ports    *publish.Ports
	flows    *publish.Flows
	sweep    *sweeper
	names    *directory.Directory
	resolver Resolver // may be nil

	standard *segment   // the default network
	defining sync.Mutex // one network is made or removed at a time

	mu       sync.Mutex
	segments map[string]*segment // by network ID
	live     map[string]place    // by endpoint ID
	clients  map[string]Client   // by container ID
	pool     *sandbox.Pool       // started by Restore or the first Take
	closed   bool
}

// place is an endpoint and the segment that it is in.
type place struct {
	container.Endpoint
	segment *segment
}

var instance = regexp.MustCompile(`^[0-9a-f]{8}$`)

// Open makes bridges and the table, or adopts those of an engine that crashed.
// Restore says which endpoints live on.
func Open(c Config, log *slog.Logger) (*Network, error) {
	if !instance.MatchString(c.Instance) {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("network instance %q is not 8 hex digits", c.Instance))
	}
	shared := &core{instance: c.Instance, seed: c.Seed, state: c.StateDir, started: time.Now().UTC(), log: log, resolver: c.Resolver,
		ports: publish.NewPorts(), names: cmp.Or(c.Names, directory.New()), segments: map[string]*segment{}, live: map[string]place{}, clients: map[string]Client{}}
	n := &Network{shared, definitions{shared}}
	if err := n.open(c); err != nil {
		return nil, errors.Join(err, n.disconnect())
	}
	return n, nil
}

func (n *Network) open(c Config) error {
	if err := os.MkdirAll(n.dir(), 0o700); err != nil {
		return fmt.Errorf("make network state directory: %w", err)
	}
	addrs, err := n.openAddresses(c)
	if err != nil {
		return err
	}
	n.host, err = rtnl.Dial()
	if err != nil {
		return err
	}
	if err := n.openStandard(addrs); err != nil {
		return err
	}
	n.table, err = publish.NewTable("berth-" + c.Instance)
	if err != nil {
		return err
	}
	if err := n.load(); err != nil {
		return err
	}
	if err := n.ensureTable(); err != nil {
		return err
	}
	n.sweep, n.flows = newSweeper(n.log), publish.NewFlows(n.log)
	return nil
}

// openStandard makes the default network.
func (n *Network) openStandard(addrs *ipam.Pool) error {
	gateway := bridge.Gateway(addrs.Subnet())
	addrs.Claim(gateway.Addr())
	s := &segment{link: "br-" + n.instance, v4: addrs, set: definition.Settings{ICC: true, Masquerade: true, LinkPrefix: "eth",
		V4: definition.Subnet{Prefix: addrs.Subnet(), Gateway: gateway.Addr()}}}
	s.def = mobynet.Network{
		Name: mobynet.NetworkBridge, ID: definition.BuiltinID(n.seed, mobynet.NetworkBridge), Created: n.started, Scope: "local",
		Driver: definition.Driver, EnableIPv4: true, Labels: map[string]string{},
		IPAM: mobynet.IPAM{Driver: "default", Config: []mobynet.IPAMConfig{{Subnet: addrs.Subnet(), Gateway: gateway.Addr()}}},
		Options: map[string]string{
			"com.docker.network.bridge.default_bridge": "true", "com.docker.network.bridge.enable_icc": "true",
			"com.docker.network.bridge.enable_ip_masquerade": "true", "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
			"com.docker.network.bridge.name": s.link, "com.docker.network.driver.mtu": "1500"},
	}
	if err := s.ensure(); err != nil {
		return err
	}
	s.maker = &sandbox.Maker{Host: n.host, Bridge: s.link, Index: s.first(), Masters: s.masters, Gateway: gateway, Prefix: "ve" + n.instance, Addresses: addrs}
	n.standard = s
	n.segments[s.def.ID] = s
	return nil
}

// openAddresses decides on the subnet: the configured one, else the one that
// was chosen before, else a free one.
func (n *Network) openAddresses(c Config) (*ipam.Pool, error) {
	name, path := "br-"+c.Instance, filepath.Join(c.StateDir, "addresses.json")
	state, err := ipam.Load(path)
	if err != nil {
		n.log.Warn("network addresses start anew", "error", err)
	}
	switch {
	case c.Subnet.IsValid():
		subnet := c.Subnet.Masked()
		if !subnet.Addr().Is4() {
			return nil, errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("--bridge-subnet %s: the default network has IPv4 only; make a network with --ipv6", c.Subnet))
		}
		if err := bridge.CheckSubnet(name, subnet); err != nil {
			return nil, err
		}
		if state.Subnet != subnet {
			state = ipam.State{Subnet: subnet}
		}
	case !state.Subnet.IsValid() || bridge.CheckSubnet(name, state.Subnet) != nil:
		subnet, err := bridge.FreeSubnet(name)
		if err != nil {
			return nil, err
		}
		state = ipam.State{Subnet: subnet}
	}
	return ipam.New(path, state)
}

// ensureTable leaves a table alone that a crashed engine left: its published
// ports work, and Restore writes it anew as a whole.
func (n *Network) ensureTable() error {
	foreign, err := n.table.Foreign()
	if err != nil {
		return err
	}
	if len(foreign) > 0 {
		n.log.Warn("another firewall drops forwarded traffic: let it accept what comes from and goes to the engine's bridges",
			"bridge", n.standard.link, "chains", foreign)
	}
	there, err := n.table.Exists()
	if err != nil || there {
		return err
	}
	return n.table.Set(n.desired)
}

// Gateway is the default network's bridge's address and the subnet's length.
func (n *Network) Gateway() netip.Prefix { return n.standard.set.V4.Bridge() }

// DefaultID is the default network's.
func (n *Network) DefaultID() string { return n.standard.def.ID }

// start returns the pool, filling since the first call: before Restore has
// claimed the addresses of the living, none may be given away.
func (n *core) start() (*sandbox.Pool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, errdefs.ErrFailedPrecondition.WithMessage("the network is closed")
	}
	if n.pool == nil {
		n.pool = sandbox.NewPool(n.standard.maker, poolSize, n.log)
	}
	return n.pool, nil
}

// disconnect closes what the Network holds open.
func (n *core) disconnect() error {
	var errs []error
	n.ports.Close()
	if n.sweep != nil {
		n.sweep.close()
		n.flows.Close()
	}
	if n.table != nil {
		errs = append(errs, n.table.Close())
	}
	if n.host != nil {
		errs = append(errs, n.host.Close())
	}
	return errors.Join(errs...)
}
