package engine

import (
	"context"
	"net/netip"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/network"
	"github.com/berth-containers/berth/internal/shim"
)

// The image store is used as it is.
var (
	_ Images = (*image.Store)(nil)
	_ Rootfs = (*image.Store)(nil)
)

// Facts are what is fixed of a network.
type Facts interface {
	Gateway() netip.Prefix
	Name() string // of the bridge's link
}

// Sandbox is a network namespace with its endpoint inside. Close gives the hold
// of the namespace up, not the endpoint.
type Sandbox struct {
	NetNS    string
	Endpoint container.Endpoint
	Close    func() error
}

// Bridge lets the engine use n.
func Bridge(n *network.Network) Networks { return bridge{n} }

type bridge struct{ *network.Network }

func (b bridge) Take(ctx context.Context, r network.Request) (Sandbox, error) {
	s, err := b.Network.Take(ctx, r)
	if err != nil {
		return Sandbox{}, err
	}
	return Sandbox{NetNS: s.NetNS, Endpoint: s.Endpoint, Close: s.Close}, nil
}

// Supervise lets the engine use the shim behind c; respawn returns when one
// listens on its socket, after having started it if need be.
func Supervise(c *shim.Client, respawn func(context.Context) error) Supervisor {
	return supervisor{c, respawn}
}

type supervisor struct {
	*shim.Client
	respawn func(context.Context) error
}

func (s supervisor) Attach(ctx context.Context, r shim.AttachRequest) (Stream, error) {
	return s.Client.Attach(ctx, r)
}

func (s supervisor) Respawn(ctx context.Context) error { return s.respawn(ctx) }
