package depot

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

// A layer that a builder made is an image's too, as one directory, and lives as
// long as one of its names has an owner.
func TestAlias(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the snapshotter needs root")
	}
	d, err := Open(t.Context(), t.TempDir(), "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := Shared{d}
	ctx, done, err := d.Lease(d.Scope(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	parent := ""
	for _, name := range []string{"low", "high"} {
		if _, err := d.Layers.Prepare(ctx, name+"-work", parent); err != nil {
			t.Fatal(err)
		}
		if err := d.Layers.Commit(ctx, name, name+"-work"); err != nil {
			t.Fatal(err)
		}
		parent = name
	}
	for _, tt := range []struct {
		chain, parent, layer string
		is                   func(error) bool
	}{
		{"sha256:a", "", "none", errdefs.IsNotFound},
		{"sha256:b", "", "high", errdefs.IsFailedPrecondition},
		{"sha256:a", "", "low", nil},
		{"sha256:a", "", "low", nil},
		{"sha256:b", "sha256:a", "low", errdefs.IsFailedPrecondition},
		{"sha256:b", "sha256:a", "high", nil},
	} {
		err := s.Alias(ctx, tt.chain, tt.parent, tt.layer)
		if tt.is == nil && err != nil || tt.is != nil && !tt.is(err) {
			t.Errorf("%v: %v", tt, err)
		}
	}
	ours, err := d.ChainDirs(ctx, "sha256:b")
	theirs, err2 := d.ChainDirs(ctx, "high")
	if err != nil || err2 != nil || len(ours) != 2 || ours[0] != theirs[0] || ours[1] != theirs[1] {
		t.Errorf("directories %v, %v; %v, %v", ours, err, theirs, err2)
	}
	// The builder lets go of its own names; the image's stay.
	owner := Views{d}
	if err := owner.Keep(ctx, "/here", "sha256:b", nil); err != nil {
		t.Fatal(err)
	}
	done(nil)
	if err := d.Collect(d.Scope(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Layers.Stat(d.Scope(t.Context()), "high"); !errdefs.IsNotFound(err) {
		t.Errorf("the builder's name is still there: %v", err)
	}
	for _, dir := range ours {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
	if err := owner.Drop(t.Context(), "/here"); err != nil {
		t.Fatal(err)
	}
	if err := d.Collect(d.Scope(t.Context())); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(d.Root, "snapshots", "snapshots", "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
