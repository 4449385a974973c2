// Package network gives containers their network: a bridge with IPv4 and NAT,
// sandboxes made ahead, addresses, published ports. It executes no external
// command and touches no rule, link or table but its own.
//
// Desired state is derived from the endpoints of the engine's records and set
// as a whole; after a crash Restore does the same, and what belongs to no
// endpoint is taken away.
package network

import (
	"net/netip"
	"os"

	"github.com/berth-containers/berth/internal/container"
)

// Config describes the network of one engine.
type Config struct {
	// Instance is 8 hex digits that tell this engine's links and tables from
	// another's on the same host; derived from the data root.
	Instance string
	// Subnet is the bridge's, for example 172.30.0.0/16; its first host
	// address is the bridge's own. The zero value picks a free one.
	Subnet netip.Prefix
	// StateDir is a directory of the data root for what IPAM must remember.
	StateDir string
}

// Request asks for an endpoint.
type Request struct {
	ContainerID string
	// PreferIP is the address the container had before; it is taken if free.
	PreferIP netip.Addr
	Ports    []container.Port
}

// Sandbox is a network namespace with its endpoint inside, ready for a
// container. NetNS is a path that stays valid until Close; once a process runs
// in the namespace, it may be closed.
type Sandbox struct {
	NetNS    string
	Endpoint container.Endpoint
	release  func() error
}

// Resolver answers names inside sandboxes, at 127.0.0.11. Both calls may come
// for containers it knows, or doesn't.
type Resolver interface {
	// Serve begins to answer in the sandbox ns, or goes on with what the client
	// says now. ns is valid only during the call.
	Serve(ns *os.File, c Client) error
	Forget(containerID string)
}

// Client is whom a Resolver answers.
type Client struct {
	ContainerID string
	// Servers are asked for what the Directory does not know; none: the host's.
	Servers []netip.Addr
	// HoldSingle keeps names without a dot from the servers, because the
	// container's options have its resolver add search domains (ndots).
	HoldSingle bool
}
