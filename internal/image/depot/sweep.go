package depot

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.etcd.io/bbolt"
)

// sweeper finds what a crash left on disk. Nothing else uses the depot yet.
type sweeper struct{ *Depot }

// sweep records or deletes what is on disk without a record: a crash between a
// rename and the transaction that was to follow it leaves such blobs and layers,
// and a collection looks only at records.
func (s sweeper) sweep(ctx context.Context) error {
	err := s.disk.Walk(ctx, func(info content.Info) error {
		_, err := s.Blobs.Info(ctx, info.Digest)
		if errdefs.IsNotFound(err) {
			_, err = s.Blobs.Info(namespaces.WithNamespace(ctx, histories), info.Digest)
		}
		if errdefs.IsNotFound(err) {
			return s.record(ctx, info)
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

// record takes up a blob that has no record: the pull that fetched it owns it,
// or nobody, and then the first collection deletes it. One that is not what its
// name says is deleted now.
func (s sweeper) record(ctx context.Context, info content.Info) error {
	desc := ocispec.Descriptor{Digest: info.Digest, Size: info.Size}
	ra, err := s.disk.ReaderAt(ctx, desc)
	if err != nil {
		return err
	}
	defer ra.Close()
	check := info.Digest.Verifier()
	if _, err := io.Copy(check, content.NewReader(ra)); err != nil {
		return err
	}
	if !check.Verified() {
		s.Log.Info("delete blob that is not what its name says", "digest", info.Digest)
		return s.disk.Delete(ctx, info.Digest)
	}
	// Nothing is written: the database finds that the blob is there.
	w, err := s.Blobs.Writer(ctx, content.WithRef("record-"+info.Digest.String()), content.WithDescriptor(desc))
	if err != nil {
		return err
	}
	defer w.Close()
	return w.Commit(ctx, desc.Size, desc.Digest)
}

// sweepIngests deletes the partial blobs that have no record, and those that
// the crash left without what is needed to resume them.
func (s sweeper) sweepIngests() error {
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
func (s sweeper) ingestRefs() (map[string]bool, error) {
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
func (s sweeper) sweepLayers(ctx context.Context) error {
	records, err := walkLayers(ctx, s.Layers)
	if err != nil {
		return err
	}
	layers, err := walkLayers(ctx, s.overlay)
	if err != nil {
		return err
	}
	if err := s.strayLayers(layers); err != nil || len(records) == len(layers) {
		return err
	}
	key := "sweep-" + rand.Text()
	if _, err := s.Layers.Prepare(ctx, key, ""); err != nil {
		return err
	}
	return s.Layers.Remove(ctx, key)
}

// walkLayers lists the directories of the layers that a store has on record.
func walkLayers(ctx context.Context, sn snapshots.Snapshotter) (dirs map[string]bool, err error) {
	dirs = map[string]bool{}
	err = sn.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		dirs[filepath.Dir(i.Labels[upperLabel])] = true
		return nil
	})
	if errdefs.IsNotFound(err) { // nothing was ever written
		return dirs, nil
	}
	return dirs, err
}

// strayLayers takes directories without a record out of the way, for the next
// collection to delete: the snapshotter gives their numbers out again.
func (s sweeper) strayLayers(known map[string]bool) error {
	dirs, err := filepath.Glob(filepath.Join(s.Root, "snapshots", "snapshots", "[0-9]*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if known[dir] {
			continue
		}
		if err := os.Rename(dir, filepath.Join(filepath.Dir(dir), "stray-"+rand.Text())); err != nil {
			return err
		}
	}
	return nil
}
