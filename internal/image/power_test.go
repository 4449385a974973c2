package image

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/report"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	powerTree = `-rw-r--r-- below 0:0 "b"`
	powerTop  = `-rw-r--r-- top 0:0 "t"`
)

// powered is a store with an image of two layers, whose container is "c", and
// one of the lower layer alone.
func powered(t *testing.T) *Store {
	t.Helper()
	ctx := context.Background()
	s := openBoot(t, t.TempDir(), "one")
	below, top := archiveOf(t, reg("below", "b")), archiveOf(t, reg("top", "t"))
	for name, layers := range map[string][][]byte{"two:1": {below, top}, "one:1": {below}} {
		if _, err := s.Load(ctx, bytes.NewReader(dockerArchive(t, name, layers...)), nil); err != nil {
			t.Fatal(err)
		}
	}
	img, err := s.Get(ctx, "two:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PrepareRootfs(ctx, img, "c"); err != nil {
		t.Fatal(err)
	}
	return s
}

func openBoot(t *testing.T, root, boot string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{Root: root, Boot: boot})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// crash opens what a crash of s leaves, in another boot or the same one. What
// was not flushed may be torn: with that, every file of a layer is.
func crash(t *testing.T, s *Store, boot string, torn bool) *Store {
	t.Helper()
	root := filepath.Join(t.TempDir(), "copy")
	if out, err := exec.Command("cp", "-a", s.depot.Root, root).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	err := filepath.WalkDir(filepath.Join(root, "snapshots/snapshots"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !torn || !d.Type().IsRegular() {
			return err
		}
		return os.Truncate(path, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
	s = openBoot(t, root, boot)
	settle(t, s)
	return s
}

func wantRootfs(t *testing.T, s *Store) {
	t.Helper()
	r, err := s.Rootfs(context.Background(), "c")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Lowers) != 2 || tree(t, r.Lowers[0]) != powerTop || tree(t, r.Lowers[1]) != powerTree {
		t.Errorf("root filesystem of layers %v", r.Lowers)
		for _, dir := range r.Lowers {
			t.Log(tree(t, dir))
		}
	}
}

// The layers that a crash of the machine may have torn are unpacked again.
func TestPowerCut(t *testing.T) {
	ctx := context.Background()
	s := crash(t, powered(t), "two", true)
	if _, layers, _ := owned(t, s); layers != 0 {
		t.Errorf("%d layers were kept", layers)
	}
	packed, err := s.Get(ctx, "two:1")
	if err != nil {
		t.Fatal(err)
	}
	wantRootfs(t, s)
	one, err := s.Get(ctx, "one:1")
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.PrepareRootfs(ctx, one, "d")
	if err != nil || len(r.Lowers) != 1 || tree(t, r.Lowers[0]) != powerTree {
		t.Errorf("a container of the other image: %v, %v", r, err)
	}
	err = s.Verify(ctx, nil, func(v report.Verified) error {
		if len(v.Problems) > 0 {
			t.Errorf("verify: %+v", v)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if img, _ := s.Get(ctx, "two:1"); img.Bytes == packed.Bytes {
		t.Errorf("size is %d when packed and when unpacked", img.Bytes)
	}
	settle(t, s)
	if _, layers, _ := owned(t, s); layers != 2 {
		t.Errorf("%d layers, want 2", layers)
	}
}

// A crash of the engine alone, and one after the flush, leave the layers.
func TestLayersOutlive(t *testing.T) {
	for _, row := range []struct {
		name, boot string
		before     func(*testing.T, *Store)
	}{
		{"a crash of the engine", "one", func(*testing.T, *Store) {}},
		{"a power cut after the flush", "two", func(t *testing.T, s *Store) {
			if err := (depot.Flusher{Depot: s.depot}).Flush(s.depot.Scope(context.Background())); err != nil {
				t.Fatal(err)
			}
		}},
		{"a power cut after the engine's end", "two", func(t *testing.T, s *Store) {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := powered(t)
			row.before(t, s)
			s = crash(t, s, row.boot, false)
			if _, layers, _ := owned(t, s); layers != 2 {
				t.Errorf("%d layers were kept, want 2", layers)
			}
			wantRootfs(t, s)
		})
	}
}

// The layers below a container are flushed before the blobs go, from which they
// could be unpacked again.
func TestPowerCutWithoutBlobs(t *testing.T) {
	ctx := context.Background()
	s := powered(t)
	for _, name := range []string{"one:1", "two:1"} {
		if _, err := s.Remove(ctx, name, true, func(digest.Digest) string { return "" }); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, s)
	if blobs, layers, _ := owned(t, s); blobs != 0 || layers != 2 {
		t.Errorf("%d blobs and %d layers after the removal", blobs, layers)
	}
	s = crash(t, s, "two", false)
	wantRootfs(t, s)
	if err := s.RemoveRootfs(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rootfs(ctx, "c"); !errdefs.IsNotFound(err) {
		t.Errorf("rootfs that was removed: %v", err)
	}
}

// What a builder unpacked has the same fate: the image's layer, which is the
// builder's under another name, is unpacked again.
func TestPowerCutAfterBuild(t *testing.T) {
	s := openBoot(t, t.TempDir(), "one")
	ctx, done, err := s.depot.Lease(s.depot.Scope(context.Background()))
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := s.depot.Layers.Prepare(ctx, "step", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mounts[0].Source, "below"), []byte("b"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.depot.Layers.Commit(ctx, "built", "step"); err != nil {
		t.Fatal(err)
	}
	tarball := archiveOf(t, reg("below", "b"))
	layer, err := s.depot.WriteBlob(ctx, ocispec.MediaTypeImageLayer, tarball)
	if err != nil {
		t.Fatal(err)
	}
	config := &manifest.Config{OS: "linux", Architecture: "amd64", RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}}}
	p, err := manifest.Write(ctx, s.depot, config, []ocispec.Descriptor{layer})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Builds{s}).Enter(ctx, Made{Names: []string{"built:1"}, Target: p.Desc, Layers: []string{"built"}}); err != nil {
		t.Fatal(err)
	}
	if _, layers, _ := owned(t, s); layers != 1 {
		t.Errorf("%d layers on disk, want the builder's alone", layers)
	}
	done(nil)
	s = crash(t, s, "two", true)
	img, err := s.Get(context.Background(), "built:1")
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.PrepareRootfs(context.Background(), img, "c")
	if err != nil || len(r.Lowers) != 1 || tree(t, r.Lowers[0]) != powerTree {
		t.Errorf("root filesystem %v, %v", r, err)
	}
}
