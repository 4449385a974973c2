package engine

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"syscall"

	mobynet "github.com/moby/moby/api/types/network"

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

// Sandboxes are the containers' places in networks.
type Sandboxes interface {
	Restore(ctx context.Context, living []network.Live) error
	Take(ctx context.Context, r network.Request) (Sandbox, error)
	Release(ctx context.Context, containerID string) error
	Connect(ctx context.Context, netns string, r network.Request) (network.Places, error)
	Disconnect(ctx context.Context, netns, containerID, networkID string) (network.Places, error)
}

// Definitions are the networks that there are.
type Definitions interface {
	Networks() []mobynet.Network
	Status(id string) *mobynet.Status
	Create(ctx context.Context, q mobynet.CreateRequest) (mobynet.Network, error)
	Remove(ctx context.Context, id string) error
}

// Facts are what is fixed of the default network, and what changes of those who
// run besides their networks.
type Facts interface {
	Gateway() netip.Prefix
	Rename(containerID string, names map[string][]string) []container.Endpoint
	Republish(ctx context.Context, containerID string, ports []container.Port) (network.Places, error)
}

// Sandbox is a network namespace with its endpoints inside. Close gives the hold
// of the namespace up, not the endpoints.
type Sandbox struct {
	NetNS string
	network.Places
	Close func() error
}

// Bridge lets the engine use n.
func Bridge(n *network.Network) Networks { return bridge{n} }

type bridge struct{ *network.Network }

func (b bridge) Take(ctx context.Context, r network.Request) (Sandbox, error) {
	s, err := b.Network.Take(ctx, r)
	if err != nil {
		return Sandbox{}, err
	}
	return Sandbox{NetNS: s.NetNS, Places: s.Places, Close: s.Close}, nil
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

func (s supervisor) Attach(ctx context.Context, r shim.AttachRequest) (stream Stream, err error) {
	err = s.reach(ctx, func() error { stream, err = s.Client.Attach(ctx, r); return err })
	return stream, err
}

func (s supervisor) Start(ctx context.Context, r shim.StartRequest) (answer shim.StartResponse, err error) {
	err = s.reach(ctx, func() error { answer, err = s.Client.Start(ctx, r); return err })
	return answer, err
}

func (s supervisor) Exec(ctx context.Context, r shim.ExecRequest) (pid int, err error) {
	err = s.reach(ctx, func() error { pid, err = s.Client.Exec(ctx, r); return err })
	return pid, err
}

func (s supervisor) Mounts(ctx context.Context, r shim.MountsRequest) (ns *os.File, err error) {
	err = s.reach(ctx, func() error { ns, err = s.Client.Mounts(ctx, r); return err })
	return ns, err
}

func (s supervisor) Signal(ctx context.Context, id, execID string, sig syscall.Signal) error {
	return s.reach(ctx, func() error { return s.Client.Signal(ctx, id, execID, sig) })
}

func (s supervisor) Pause(ctx context.Context, id string) error {
	return s.reach(ctx, func() error { return s.Client.Pause(ctx, id) })
}

func (s supervisor) Resume(ctx context.Context, id string) error {
	return s.reach(ctx, func() error { return s.Client.Resume(ctx, id) })
}

func (s supervisor) Release(ctx context.Context, id string) error {
	return s.reach(ctx, func() error { return s.Client.Release(ctx, id) })
}

// reach makes a call again that came in the moment between two shims.
func (s supervisor) reach(ctx context.Context, call func() error) error {
	err := call()
	if !errors.Is(err, shim.ErrNobody) {
		return err
	}
	if err := s.respawn(ctx); err != nil {
		return err
	}
	return call()
}

func (s supervisor) Respawn(ctx context.Context) error { return s.respawn(ctx) }
