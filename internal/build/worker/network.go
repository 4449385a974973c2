package worker

import (
	"context"
	"fmt"
	"sync"

	resources "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/util/network"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc"

	"github.com/berth-containers/berth/internal/build/calls"
)

// bridge gives each step an endpoint on the engine's bridge.
type bridge struct{ conn grpc.ClientConnInterface }

func (b bridge) New(ctx context.Context, _ string, _ network.NamespaceOptions) (network.Namespace, error) {
	id := "build-" + identity.NewID()
	n, err := calls.Call[calls.Network](ctx, b.conn, calls.TakeNetwork, id)
	if err != nil {
		return nil, fmt.Errorf("take a network: %w", err)
	}
	return &endpoint{conn: b.conn, id: id, path: n.Path}, nil
}

func (b bridge) Close() error { return nil }

type endpoint struct {
	conn     grpc.ClientConnInterface
	id, path string
	once     sync.Once
}

func (e *endpoint) Set(s *specs.Spec) error {
	for i := range s.Linux.Namespaces {
		if s.Linux.Namespaces[i].Type == specs.NetworkNamespace {
			s.Linux.Namespaces[i].Path = e.path
			return nil
		}
	}
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: e.path})
	return nil
}

func (e *endpoint) Sample() (*resources.NetworkSample, error) { return nil, nil }

func (e *endpoint) Close() (err error) {
	e.once.Do(func() {
		// The step has ended, and with it perhaps what it was for.
		_, err = calls.Call[struct{}](context.Background(), e.conn, calls.ReleaseNetwork, e.id)
	})
	return err
}
