package depot

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"go.etcd.io/bbolt"
)

// sweep deletes what is on disk without a record: a crash between a rename and
// the transaction that was to follow it leaves such blobs and layers, and a
// collection looks only at records. Nothing else uses the store yet.
func (s *Depot) sweep(ctx context.Context) error {
	err := s.disk.Walk(ctx, func(info content.Info) error {
		_, err := s.Blobs.Info(ctx, info.Digest)
		if errdefs.IsNotFound(err) {
			s.Log.Info("delete blob without a record", "digest", info.Digest)
			return s.disk.Delete(ctx, info.Digest)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("sweep blobs: %w", err)
	}
	if err := s.sweepIngests(); err != nil {
		return fmt.Errorf("sweep partial blobs: %w", err)
	}
	if err := s.sweepLayers(ctx); err != nil {
		return fmt.Errorf("sweep layers: %w", err)
	}
	return nil
}

// sweepIngests deletes the partial blobs that have no record, and those that
// the crash left without what is needed to resume them.
func (s *Depot) sweepIngests() error {
	known, err := s.ingestRefs()
	if err != nil {
		return err
	}
	dirs, err := filepath.Glob(filepath.Join(s.Layout, "ingest", "*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		ref, err := os.ReadFile(filepath.Join(dir, "ref"))
		whole := err == nil && known[string(ref)]
		for _, name := range []string{"data", "startedat", "updatedat"} {
			if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
				whole = false
			}
		}
		if whole {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// ingestRefs are the references on disk of the partial blobs on record. It
// reads the buckets, as containerd's own list fails on one that lacks its files.
func (s *Depot) ingestRefs() (map[string]bool, error) {
	known := map[string]bool{}
	err := s.DB.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("v1"))
		for _, name := range []string{namespace, "content", "ingests"} {
			if b == nil {
				return nil
			}
			b = b.Bucket([]byte(name))
		}
		if b == nil {
			return nil
		}
		return b.ForEachBucket(func(k []byte) error {
			known[string(b.Bucket(k).Get([]byte("ref")))] = true
			return nil
		})
	})
	return known, err
}

// sweepLayers makes the next collection compare all layers if their number
// differs from that of the records: it does so when one has been removed.
func (s *Depot) sweepLayers(ctx context.Context) error {
	count := func(sn snapshots.Snapshotter) (n int, err error) {
		err = sn.Walk(ctx, func(context.Context, snapshots.Info) error { n++; return nil })
		if errdefs.IsNotFound(err) { // nothing was ever written
			return 0, nil
		}
		return n, err
	}
	records, err := count(s.Layers)
	if err != nil {
		return err
	}
	layers, err := count(s.overlay)
	if err != nil || records == layers {
		return err
	}
	key := "sweep-" + rand.Text()
	if _, err := s.Layers.Prepare(ctx, key, ""); err != nil {
		return err
	}
	return s.Layers.Remove(ctx, key)
}
