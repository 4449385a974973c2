package image

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// sweep deletes what is on disk without a record: a crash between a rename and
// the transaction that was to follow it leaves such blobs and layers, and a
// collection looks only at records. Nothing else uses the store yet.
func (s *depot) sweep(ctx context.Context) error {
	err := s.disk.Walk(ctx, func(info content.Info) error {
		_, err := s.blobs.Info(ctx, info.Digest)
		if errdefs.IsNotFound(err) {
			s.log.Info("delete blob without a record", "digest", info.Digest)
			return s.disk.Delete(ctx, info.Digest)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("sweep blobs: %w", err)
	}
	if err := s.sweepIngests(ctx); err != nil {
		return fmt.Errorf("sweep partial blobs: %w", err)
	}
	if err := s.sweepLayers(ctx); err != nil {
		return fmt.Errorf("sweep layers: %w", err)
	}
	return nil
}

func (s *depot) sweepIngests(ctx context.Context) error {
	known, err := s.blobs.ListStatuses(ctx)
	if err != nil {
		return err
	}
	refs := map[string]bool{}
	for _, st := range known {
		refs[st.Ref] = true
	}
	all, err := s.disk.ListStatuses(ctx)
	if err != nil {
		return err
	}
	for _, st := range all {
		parts := strings.SplitN(st.Ref, "/", 3) // namespace/number/ref
		if len(parts) == 3 && refs[parts[2]] {
			continue
		}
		if err := s.disk.Abort(ctx, st.Ref); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// sweepLayers makes the next collection compare all layers if their number
// differs from that of the records: it does so when one has been removed.
func (s *depot) sweepLayers(ctx context.Context) error {
	count := func(sn snapshots.Snapshotter) (n int, err error) {
		err = sn.Walk(ctx, func(context.Context, snapshots.Info) error { n++; return nil })
		if errdefs.IsNotFound(err) { // nothing was ever written
			return 0, nil
		}
		return n, err
	}
	records, err := count(s.layers)
	if err != nil {
		return err
	}
	layers, err := count(s.overlay)
	if err != nil || records == layers {
		return err
	}
	key := "sweep-" + rand.Text()
	if _, err := s.layers.Prepare(ctx, key, ""); err != nil {
		return err
	}
	return s.layers.Remove(ctx, key)
}
