package storage

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/sys/quota"
)

// LayerSize is the bound of --storage-opt on what a container writes; 0 is none.
func LayerSize(options map[string]string) (int64, error) {
	for name := range options {
		if name != "size" {
			return 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("Unknown option %s: --storage-opt takes size", name))
		}
	}
	text, ok := options["size"]
	if !ok {
		return 0, nil
	}
	n, err := units.RAMInBytes(text)
	if err != nil || n <= 0 {
		return 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("--storage-opt size=%s is not a size such as 10G", text))
	}
	return n, nil
}

// Limit bounds the writable layer that was made for a container.
func (s *Store) Limit(r *container.Record, layer oci.Rootfs) error {
	n, err := LayerSize(r.HostConfig.StorageOpt)
	if err != nil || n == 0 {
		return err
	}
	if err := quota.Set(n, filepath.Dir(layer.Upper), layer.Upper, layer.Work); err != nil {
		return fmt.Errorf("--storage-opt size: %w", err)
	}
	return nil
}

// unlimit gives the number of the layer's project back.
func (s *Store) unlimit(ctx context.Context, r *container.Record) error {
	if n, err := LayerSize(r.HostConfig.StorageOpt); err != nil || n == 0 {
		return nil
	}
	layer, err := s.Layers.Rootfs(ctx, r.ID)
	if err != nil {
		return nil // it is gone, or what is below it
	}
	return quota.Clear(filepath.Dir(layer.Upper))
}
