package engine

import (
	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/files"
	"github.com/berth-containers/berth/internal/network"
	"github.com/berth-containers/berth/internal/spec"
)

// writeFiles names hostname, hosts and resolv.conf in the specification's input:
// the container's own, or those of the one whose network it joins.
func (c *core) writeFiles(r *container.Record, p network.Places, linked []string, in *spec.Input) error {
	if !r.HostConfig.NetworkMode.IsContainer() {
		return files.Write(c.dir(r.ID), r, p, c.deps.Networks.Gateway().Addr(), linked, in)
	}
	other, err := c.records.Find(r.HostConfig.NetworkMode.ConnectedContainer())
	if err != nil {
		return err
	}
	files.Share(c.dir(other.ID), other, r, in)
	return nil
}
