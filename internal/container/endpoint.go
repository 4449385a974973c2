package container

import (
	"net/netip"
	"slices"

	"github.com/moby/moby/api/types/network"
)

// Port publishes one port of a container.
type Port struct {
	Proto         string     `json:"proto"`    // "tcp" or "udp"
	HostIP        netip.Addr `json:"hostIp"`   // in a request: invalid means everywhere
	HostPort      uint16     `json:"hostPort"` // 0 in a request: any free one
	ContainerPort uint16     `json:"containerPort"`
	LastHostPort  uint16     `json:"-"` // in a request: HostPort begins a range up to here; 0 otherwise
}

// Attachment is a network that a container is in whenever it runs.
type Attachment struct {
	Network   string `json:"network"` // its name
	NetworkID string `json:"networkId,omitempty"`
	// Asked is what the user said of it; nothing in it is of a run.
	Asked    *network.EndpointSettings `json:"asked,omitempty"`
	Endpoint *Endpoint                 `json:"endpoint,omitempty"` // of the last or current run
}

// Endpoint is a container's place in one network while it runs; plain data that
// the engine stores in the container's record.
type Endpoint struct {
	ID          string `json:"id"` // 64 hex
	ContainerID string `json:"containerId"`
	NetworkID   string `json:"networkId"`
	HostLink    string `json:"hostLink"` // name of the veth's end on the bridge
	Link        string `json:"link"`     // and of the end inside

	IP       netip.Prefix `json:"ip,omitzero"` // for example 172.30.0.5/16
	Gateway  netip.Addr   `json:"gateway,omitzero"`
	IP6      netip.Prefix `json:"ip6,omitzero"`
	Gateway6 netip.Addr   `json:"gateway6,omitzero"`
	MAC      string       `json:"mac"`
	Priority int          `json:"priority,omitempty"` // of its gateway

	// Ports are published to this endpoint, HostPort filled in.
	Ports []Port `json:"ports,omitempty"`
	// Names and Links are what its network's DNS knows.
	Names []string          `json:"names,omitempty"`
	Links map[string]string `json:"links,omitempty"` // alias → name
}

// Endpoints are the container's places of the last or current run.
func (r *Record) Endpoints() []Endpoint {
	var all []Endpoint
	for _, a := range r.Networks {
		if a.Endpoint != nil {
			all = append(all, *a.Endpoint)
		}
	}
	return all
}

// Ports are the published ports of the last or current run.
func (r *Record) Ports() []Port {
	var all []Port
	for _, a := range r.Networks {
		if a.Endpoint != nil {
			all = append(all, a.Endpoint.Ports...)
		}
	}
	return all
}

// SetEndpoints replaces the places in the container's networks; those of other
// networks are left out.
func (r *Record) SetEndpoints(endpoints []Endpoint) {
	r.Networks = slices.Clone(r.Networks) // earlier versions of the record share it
	for i := range r.Networks {
		a := &r.Networks[i]
		a.Endpoint = nil
		for _, e := range endpoints {
			if e.NetworkID == a.NetworkID {
				a.Endpoint = &e
			}
		}
	}
}
