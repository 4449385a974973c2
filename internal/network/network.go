package network

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/bridge"
	"github.com/berth-containers/berth/internal/network/ipam"
	"github.com/berth-containers/berth/internal/network/publish"
	"github.com/berth-containers/berth/internal/network/sandbox"
	"github.com/berth-containers/berth/internal/sys/rtnl"
)

// poolSize is how many sandboxes are kept ready: enough for the containers
// that two processors can start in the time a refill takes.
const poolSize = 8

// Network is one engine's network.
type Network struct {
	bridge  string
	gateway netip.Prefix
	log     *slog.Logger

	host  *rtnl.Conn
	addrs *ipam.Pool
	maker *sandbox.Maker
	table *publish.Table
	ports *publish.Ports
	flows *publish.Flows
	sweep *sweeper

	mu     sync.Mutex
	live   map[string]container.Endpoint
	pool   *sandbox.Pool // started by Restore or the first Take
	closed bool
}

var instance = regexp.MustCompile(`^[0-9a-f]{8}$`)

// Open makes the bridge and the table, or adopts those of an engine that
// crashed. Restore says which endpoints live on.
func Open(c Config, log *slog.Logger) (*Network, error) {
	if !instance.MatchString(c.Instance) {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("network instance %q is not 8 hex digits", c.Instance))
	}
	n := &Network{bridge: "br-" + c.Instance, log: log, ports: publish.NewPorts(), live: map[string]container.Endpoint{}}
	if err := n.open(c); err != nil {
		return nil, errors.Join(err, n.disconnect())
	}
	return n, nil
}

func (n *Network) open(c Config) error {
	if err := n.openAddresses(c); err != nil {
		return err
	}
	n.gateway = bridge.Gateway(n.addrs.Subnet())
	n.addrs.Claim(n.gateway.Addr())
	index, err := bridge.Ensure(n.bridge, n.gateway)
	if err != nil {
		return err
	}
	n.table, err = publish.NewTable("berth-"+c.Instance, n.bridge, n.gateway)
	if err != nil {
		return err
	}
	if err := n.ensureTable(); err != nil {
		return err
	}
	n.host, err = rtnl.Dial()
	if err != nil {
		return err
	}
	prefix := "ve" + c.Instance
	n.maker = &sandbox.Maker{Host: n.host, Bridge: n.bridge, Index: index, Gateway: n.gateway, Prefix: prefix, Addresses: n.addrs}
	n.sweep, n.flows = newSweeper(n.log), publish.NewFlows(n.log)
	return nil
}

// openAddresses decides on the subnet: the configured one, else the one that
// was chosen before, else a free one.
func (n *Network) openAddresses(c Config) error {
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return fmt.Errorf("make network state directory: %w", err)
	}
	path := filepath.Join(c.StateDir, "addresses.json")
	state, err := ipam.Load(path)
	if err != nil {
		n.log.Warn("network addresses start anew", "error", err)
	}
	switch {
	case c.Subnet.IsValid():
		subnet := c.Subnet.Masked()
		if !subnet.Addr().Is4() {
			return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("--bridge-subnet %s: the bridge has IPv4 only", c.Subnet))
		}
		if err := bridge.CheckSubnet(n.bridge, subnet); err != nil {
			return err
		}
		if state.Subnet != subnet {
			state = ipam.State{Subnet: subnet}
		}
	case !state.Subnet.IsValid() || bridge.CheckSubnet(n.bridge, state.Subnet) != nil:
		subnet, err := bridge.FreeSubnet(n.bridge)
		if err != nil {
			return err
		}
		state = ipam.State{Subnet: subnet}
	}
	n.addrs, err = ipam.New(path, state)
	return err
}

// ensureTable leaves a table alone that a crashed engine left: its published
// ports work, and Restore writes it anew as a whole.
func (n *Network) ensureTable() error {
	foreign, err := n.table.Foreign()
	if err != nil {
		return err
	}
	if len(foreign) > 0 {
		n.log.Warn("another firewall drops forwarded traffic: let it accept what comes from and goes to the bridge",
			"bridge", n.bridge, "chains", foreign)
	}
	there, err := n.table.Exists()
	if err != nil || there {
		return err
	}
	return n.table.Set(n.desired)
}

// Gateway is the bridge's address and the subnet's length.
func (n *Network) Gateway() netip.Prefix { return n.gateway }

// Name is the bridge's link.
func (n *Network) Name() string { return n.bridge }

// start returns the pool, filling since the first call: before Restore has
// claimed the addresses of the living, none may be given away.
func (n *Network) start() (*sandbox.Pool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, errdefs.ErrFailedPrecondition.WithMessage("the network is closed")
	}
	if n.pool == nil {
		n.pool = sandbox.NewPool(n.maker, poolSize, n.log)
	}
	return n.pool, nil
}

// disconnect closes what the Network holds open.
func (n *Network) disconnect() error {
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
