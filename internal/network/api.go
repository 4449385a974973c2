// Package network gives containers their network: a bridge with IPv4 and NAT,
// sandboxes made ahead, addresses, published ports. It executes no external
// command and touches no rule, link or table but its own.
//
// Desired state is derived from the endpoints of the engine's records and set
// as a whole; after a crash Restore does the same, and what belongs to no
// endpoint is taken away.
package network

import "net/netip"

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

// Port publishes one port of a container.
type Port struct {
	Proto         string     `json:"proto"` // "tcp" or "udp"
	HostIP        netip.Addr `json:"hostIp"`
	HostPort      uint16     `json:"hostPort"` // 0 in a request: any free one
	ContainerPort uint16     `json:"containerPort"`
}

// Request asks for an endpoint.
type Request struct {
	ContainerID string
	// PreferIP is the address the container had before; it is taken if free.
	PreferIP netip.Addr
	Ports    []Port
}

// Endpoint is a container's place in the bridge network; plain data that the
// engine stores in the container's record.
type Endpoint struct {
	ID          string       `json:"id"` // 64 hex
	ContainerID string       `json:"containerId"`
	HostLink    string       `json:"hostLink"` // name of the veth's end on the bridge
	IP          netip.Prefix `json:"ip"`       // for example 172.30.0.5/16
	Gateway     netip.Addr   `json:"gateway"`
	MAC         string       `json:"mac"`
	Ports       []Port       `json:"ports,omitempty"` // HostPort filled in
}

// Sandbox is a network namespace with its endpoint inside, ready for a
// container. NetNS is a path that stays valid until Close; once a process runs
// in the namespace, it may be closed.
type Sandbox struct {
	NetNS    string
	Endpoint Endpoint
	release  func() error
}
