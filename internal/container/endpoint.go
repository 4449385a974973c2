package container

import "net/netip"

// Port publishes one port of a container.
type Port struct {
	Proto         string     `json:"proto"` // "tcp" or "udp"
	HostIP        netip.Addr `json:"hostIp"`
	HostPort      uint16     `json:"hostPort"` // 0 in a request: any free one
	ContainerPort uint16     `json:"containerPort"`
	LastHostPort  uint16     `json:"-"` // in a request: HostPort begins a range up to here; 0 otherwise
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
