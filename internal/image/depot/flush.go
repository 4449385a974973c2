package depot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/berth-containers/berth/internal/sys/syncfs"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"go.etcd.io/bbolt"
)

const (
	// unflushedLabel is on a chain that may not be on the disk yet. Its value is
	// the boot in which the chain was unpacked: in another one, what was not
	// written then is missing.
	unflushedLabel = "berth.unflushed"
	// lost follows the boot of a chain that the disk did not take.
	lost = " lost"
	// flushAfter is when it is flushed. By then the kernel has written most of
	// it by itself (vm.dirty_expire_centisecs), so that nothing else waits for
	// the disk, and what was removed soon is never written.
	flushAfter = 40 * time.Second
)

// flushing is what is still to be flushed.
type flushing struct {
	boot string // of the machine; "" if nothing tells it
	due  atomic.Bool
	background
}

// Flusher makes chains durable after they are committed.
type Flusher struct{ *Depot }

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Labels are the labels for chains that are committed now. It flushes if
// nothing could tell later if they were torn.
func (s Flusher) Labels() (map[string]string, error) {
	if s.flushing.boot == "" {
		return nil, syncfs.Sync(s.Root)
	}
	return map[string]string{unflushedLabel: s.flushing.boot}, nil
}

// Mark gives chains that were committed without Labels what they lack.
func (s Flusher) Mark(ctx context.Context, chains []string) error {
	if len(chains) == 0 {
		return nil
	}
	labels, err := s.Labels()
	if err != nil || len(labels) == 0 {
		return err
	}
	defer s.Later()
	return s.relabel(ctx, chains, labels[unflushedLabel])
}

// Later makes the chains that were committed durable in the background.
func (s Flusher) Later() {
	s.flushing.due.Store(true)
	s.flushing.within(flushAfter, func() {
		if err := s.Flush(s.Scope(context.Background())); err != nil {
			s.Log.Error("flush layers; berth image verify tells if an image is damaged", "error", err)
		}
	})
}

// Flush makes the chains durable that were committed before.
func (s Flusher) Flush(ctx context.Context) error {
	s.flushing.due.Store(false)
	chains, err := s.unflushed(ctx)
	if err != nil || len(chains) == 0 {
		return err
	}
	label := "" // none
	flushErr := syncfs.Sync(s.Root)
	if flushErr != nil {
		// The kernel tells of it once: the next flush would say that all is well.
		label = s.flushing.boot + lost
	}
	return errors.Join(flushErr, s.relabel(ctx, chains, label))
}

// unflushed lists the chains that wait for their flush.
func (s Flusher) unflushed(ctx context.Context) ([]string, error) {
	var chains []string
	if s.flushing.boot == "" {
		return nil, nil
	}
	err := s.Layers.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Labels[unflushedLabel] == s.flushing.boot {
			chains = append(chains, i.Name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list unflushed layers: %w", err)
	}
	return chains, nil
}

// any says if one of some chains waits for its flush.
func (s Flusher) any(ctx context.Context, chains map[string]bool) (bool, error) {
	for chain := range chains {
		info, err := s.Layers.Stat(ctx, chain)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("look up layer: %w", err)
		}
		if boot := info.Labels[unflushedLabel]; boot != "" && boot == s.flushing.boot {
			return true, nil
		}
	}
	return false, nil
}

func (s Flusher) relabel(ctx context.Context, chains []string, label string) error {
	err := s.DB.Update(func(tx *bbolt.Tx) error {
		ctx := boltutil.WithTransaction(ctx, tx)
		for _, chain := range chains {
			info := snapshots.Info{Name: chain, Labels: map[string]string{unflushedLabel: label}}
			if _, err := s.Layers.Update(ctx, info, "labels."+unflushedLabel); err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note what is flushed: %w", err)
	}
	return nil
}

// dropTorn forgets the chains that were not flushed before the machine went
// down, with those above them. Images and rootfs that need them get them again
// from the blobs, which are flushed before an image is visible. Those of this
// boot, that an engine has left, are flushed later.
func (s Flusher) dropTorn(ctx context.Context) error {
	above := map[string][]string{}
	var torn []string
	var waiting bool
	err := s.Layers.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		above[i.Parent] = append(above[i.Parent], i.Name)
		switch boot := i.Labels[unflushedLabel]; {
		case boot == s.flushing.boot:
			waiting = waiting || boot != ""
		case boot != "" && strings.TrimSuffix(boot, lost) != s.flushing.boot:
			torn = append(torn, i.Name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list unflushed layers: %w", err)
	}
	if waiting {
		s.Later()
	}
	if len(torn) == 0 {
		return nil
	}
	s.Log.Warn("the machine went down before layers were on the disk; they are unpacked again when they are needed", "layers", len(torn))
	var drop func(ctx context.Context, chain string) error
	drop = func(ctx context.Context, chain string) error {
		for _, upper := range above[chain] {
			if err := drop(ctx, upper); err != nil {
				return err
			}
		}
		err := s.Layers.Remove(ctx, chain)
		if errdefs.IsNotFound(err) { // with one below it
			return nil
		}
		return err
	}
	err = s.DB.Update(func(tx *bbolt.Tx) error {
		for _, chain := range torn {
			if err := drop(boltutil.WithTransaction(ctx, tx), chain); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("drop unflushed layers: %w", err)
	}
	return nil
}
