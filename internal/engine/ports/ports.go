// Package ports tells which ports a container publishes. It is pure.
package ports

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	mobynet "github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
)

// Bindings are the ports to publish: those of -p, and with -P every exposed one.
func Bindings(cfg *api.Config, h *api.HostConfig) ([]container.Port, error) {
	var ports []container.Port
	for port, bs := range h.PortBindings {
		if port.Proto() == mobynet.SCTP {
			return nil, errdefs.ErrInvalidArgument.WithMessage("publishing SCTP ports is not supported; use tcp or udp")
		}
		if len(bs) == 0 {
			bs = []mobynet.PortBinding{{}}
		}
		for _, b := range bs {
			p := container.Port{Proto: string(port.Proto()), HostIP: b.HostIP, ContainerPort: port.Num()}
			if b.HostPort != "" {
				span, err := mobynet.ParsePortRange(b.HostPort)
				if err != nil {
					return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid port specification: %q", b.HostPort))
				}
				p.HostPort = span.Start()
				if span.End() > span.Start() {
					p.LastHostPort = span.End()
				}
			}
			ports = append(ports, p)
		}
	}
	if h.PublishAllPorts {
		for port := range cfg.ExposedPorts {
			if _, ok := h.PortBindings[port]; !ok && port.Proto() != mobynet.SCTP {
				ports = append(ports, container.Port{Proto: string(port.Proto()), ContainerPort: port.Num()})
			}
		}
	}
	Sort(ports)
	return ports, nil
}

// Sort puts ports in the order in which they are shown.
func Sort(ports []container.Port) {
	slices.SortFunc(ports, func(a, b container.Port) int {
		return cmp.Or(cmp.Compare(a.ContainerPort, b.ContainerPort), cmp.Compare(a.Proto, b.Proto), a.HostIP.Compare(b.HostIP), cmp.Compare(a.HostPort, b.HostPort))
	})
}
