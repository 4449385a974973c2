package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/moby/moby/api/types/events"
	"github.com/opencontainers/go-digest"

	"github.com/berth-containers/berth/internal/build"
	"github.com/berth-containers/berth/internal/build/calls"
	"github.com/berth-containers/berth/internal/config"
	"github.com/berth-containers/berth/internal/engine"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/network"
	"github.com/berth-containers/berth/internal/version"
)

// openBuild prepares for builds; the builder's process starts with the first.
func (d *daemon) openBuild(cfg config.Config, e *engine.Engine, images *image.Store, bridge *network.Network, initBinary string, log *slog.Logger) (*build.Builder, error) {
	binary, err := beside("berth-build")
	if err != nil {
		log.Info("this engine cannot build", "reason", err)
		binary = ""
	}
	b, err := build.Open(build.Config{
		Binary: binary, DataRoot: cfg.DataRoot, ExecRoot: cfg.ExecRoot,
		Setup: calls.Setup{
			CgroupParent: cfg.CgroupParent, InitBinary: initBinary, Registries: cfg.Registries, Insecure: cfg.BuildAny,
			Limits:  calls.Limits{MaxBytes: cfg.BuildCache},
			Version: version.Version, Gateway: bridge.Gateway().Addr().String(),
		},
	}, build.Deps{
		Images: image.Builds{Store: images}, Networks: &stepNetworks{bridge: bridge, taken: map[string]*network.Sandbox{}},
		Tell: func(id digest.Digest, name string) { e.ImageEvent(events.ActionTag, id.String(), name) },
	}, log)
	if err != nil {
		return nil, err
	}
	d.closers.Add(b.Close)
	return b, nil
}

// stepNetworks are the endpoints of steps of builds on the default bridge.
type stepNetworks struct {
	bridge *network.Network
	mu     sync.Mutex
	taken  map[string]*network.Sandbox
}

func (n *stepNetworks) Take(ctx context.Context, id string) (calls.Network, error) {
	s, err := n.bridge.Take(ctx, network.Request{ContainerID: id, Joins: []network.Join{{NetworkID: n.bridge.DefaultID()}}})
	if err != nil {
		return calls.Network{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.taken[id] = s
	return calls.Network{Path: s.NetNS}, nil
}

func (n *stepNetworks) Release(ctx context.Context, id string) error {
	n.mu.Lock()
	s := n.taken[id]
	delete(n.taken, id)
	n.mu.Unlock()
	if s == nil {
		return nil
	}
	return errors.Join(s.Close(), n.bridge.Release(ctx, id))
}
