package image

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/distribution/registrytest"
	"github.com/berth-containers/berth/internal/image/reclaim"
	"github.com/berth-containers/berth/test/harness"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// Images that were used long ago go when the images are larger than the mark,
// dangling ones first; one that a container has stays.
func TestReclaim(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	s := openStore(t, root)
	load := func(name string) Image {
		t.Helper()
		if _, err := s.Load(ctx, bytes.NewReader(dockerArchive(t, name, archiveOf(t, reg(name, name)))), nil); err != nil {
			t.Fatal(err)
		}
		list, err := s.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, img := range list {
			if name == "" && len(img.Tags) == 0 || slices.Contains(img.Tags, name) {
				return img
			}
		}
		t.Fatalf("no image %q", name)
		return Image{}
	}
	inUse, old, used := load("in-use:1"), load("old:1"), load("used:1")
	dangling := load("")
	if _, err := s.PrepareRootfs(ctx, used, "c"); err != nil {
		t.Fatal(err)
	}
	var candidates []string
	for _, c := range (reclaimable{s}).Candidates() {
		candidates = append(candidates, c.ID)
		if c.Dangling != (c.ID == dangling.ID.String()) {
			t.Errorf("%+v", c)
		}
		if c.ID == used.ID.String() && !c.Used.After(time.Now().Add(-time.Minute)) {
			t.Errorf("used: %+v", c)
		}
	}
	if len(candidates) != 4 {
		t.Errorf("candidates %v", candidates)
	}
	// All of them are young, so nothing goes.
	var mu sync.Mutex
	var asked []digest.Digest
	stop := s.Reclaim(reclaim.Marks{High: reclaim.Mark{Bytes: 2}, Low: reclaim.Mark{Bytes: 1}}, func(_ context.Context, img Image) ([]Removed, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, img.ID)
		return s.Remove(ctx, img.ID.String(), false, func(id digest.Digest) string {
			if id == inUse.ID {
				return "c1"
			}
			return ""
		})
	}, nil)
	if err := s.room.Once(s.depot.Scope(ctx)); err != nil {
		t.Error(err)
	}
	stop()
	if len(asked) > 0 {
		t.Errorf("asked for %v, which are young", asked)
	}
	// The time of use outlives the engine.
	if err := s.RemoveRootfs(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	was := s.used.of(chainOf(&used))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, root)
	if got := s.used.of(chainOf(&used)); !got.Equal(was) {
		t.Errorf("used at %v, was %v", got, was)
	}
	if !s.used.of(chainOf(&old)).IsZero() {
		t.Error("an image has a use that it had not")
	}
}

// A bomb in an archive, or an archive that is one, leaves nothing.
func TestLayerLimit(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, Options{Root: t.TempDir(), LayerLimit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	zeros := archiveOf(t, reg("zeros", strings.Repeat("\x00", 4<<20)))
	for name, archive := range map[string][]byte{
		"layer": harness.Archive(t, "bomb:1", gzipped(t, zeros)), "archive": gzipped(t, dockerArchive(t, "bomb:1", zeros)),
	} {
		_, err := s.Load(ctx, bytes.NewReader(archive), nil)
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "--image-layer-limit") {
			t.Errorf("%s: %v", name, err)
		}
		settle(t, s)
		if blobs, layers, _ := owned(t, s); blobs != 0 || layers != 0 {
			t.Errorf("%s left %d blobs and %d layers", name, blobs, layers)
		}
	}
	r := registrytest.New(t, registrytest.OK)
	serve(t, r, "bomb", "1", zeros)
	if _, err := s.Pull(ctx, r.Host()+"/bomb:1", "linux/amd64", Credentials{}, nil); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "--image-layer-limit") {
		t.Errorf("pull: %v", err)
	}
	settle(t, s)
	if blobs, layers, _ := owned(t, s); blobs != 0 || layers != 0 {
		t.Errorf("the pull left %d blobs and %d layers", blobs, layers)
	}
}
