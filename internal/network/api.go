// Package network gives containers their networks: bridges with IPv4, IPv6 and
// NAT, sandboxes made ahead, addresses, published ports. It executes no external
// command and touches no rule, link or table but its own.
//
// Words: a network is what the user defined, or the default one; a segment is
// what the kernel has of it; a sandbox is a container's network namespace; an
// endpoint is a container's place in one network.
//
// Desired state is derived from the definitions on disk and from the endpoints
// of the engine's records and set as a whole; after a crash Restore does the
// same, and what belongs to no network or endpoint is taken away.
package network

import (
	"net"
	"net/netip"
	"os"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/directory"
)

// Config describes the networks of one engine.
type Config struct {
	// Instance is 8 hex digits that tell this engine's links and tables from
	// another's on the same host; derived from the data root.
	Instance string
	// Subnet is the default network's, for example 172.30.0.0/16; its first host
	// address is the bridge's own. The zero value picks a free one.
	Subnet netip.Prefix
	// StateDir is a directory of the data root: the definitions of networks and
	// what IPAM must remember.
	StateDir string
	// Seed is what the IDs of the networks that always exist are made of.
	Seed string
	// Names is what a Resolver answers from; nil: one that nobody else has.
	Names *directory.Directory
	// Resolver answers names in sandboxes; nil: nobody does.
	Resolver Resolver
}

// Request asks for a sandbox.
type Request struct {
	ContainerID string
	Joins       []Join // in the order of their links inside
	Ports       []container.Port
	Client      Client // for whom names are answered
}

// Join asks for a place in a network.
type Join struct {
	NetworkID string
	// Addresses must be had: at most one of each family; others are chosen.
	Addresses []netip.Addr
	LinkLocal []netip.Addr // further addresses inside
	// Before is the place that the container had in its last run: its addresses
	// are taken if they are free.
	Before   *container.Endpoint
	MAC      net.HardwareAddr // nil: made from the address
	Link     string           // name inside; "" is eth0 …
	Priority int              // of the network's gateway
	Names    []string
	Links    map[string]string // alias → name
}

// Live is a running container and its places, as its record has them.
type Live struct {
	ContainerID string
	NetNS       string // path of its sandbox; "": it has just ended
	Endpoints   []container.Endpoint
	Client      Client
}

// Sandbox is a network namespace with its endpoints inside, ready for a
// container. NetNS is a path that stays valid until Close; once a process runs
// in the namespace, it may be closed.
type Sandbox struct {
	NetNS string
	Places
	release func() error
}

// Places are where a container is.
type Places struct {
	Endpoints []container.Endpoint
	Named     bool // names are answered at 127.0.0.11
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
