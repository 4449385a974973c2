package install

import (
	"context"
	"fmt"

	"github.com/berth-containers/berth/internal/image/progress"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Fetch brings blobs into the store, several at once, without unpacking them.
// ctx has a lease.
func (s *Installer) Fetch(ctx context.Context, blobs []ocispec.Descriptor, open Opener, tell *progress.Teller) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(AtOnce)
	for _, desc := range blobs {
		group.Go(func() error {
			if groupCtx.Err() != nil {
				return context.Cause(groupCtx)
			}
			if _, err := s.stage(groupCtx, desc, false, open, tell); err != nil {
				return fmt.Errorf("layer %s: %w", desc.Digest, err)
			}
			return nil
		})
	}
	return group.Wait()
}
