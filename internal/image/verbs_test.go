package image

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-containers/berth/internal/distribution/registrytest"
	"github.com/berth-containers/berth/internal/image/report"
	"github.com/berth-containers/berth/internal/sys/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// loaded is a store with the awkward image under a name.
func loaded(t testing.TB, root, name string, layers ...[]byte) *Store {
	t.Helper()
	s := openStore(t, root)
	if _, err := s.Load(context.Background(), bytes.NewReader(dockerArchive(t, name, layers...)), nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTree(t *testing.T) {
	s := loaded(t, t.TempDir(), "app:1", awkward(t)...)
	got, err := s.Layers(context.Background(), "app:1")
	if err != nil || len(got.Layers) != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	low, top := got.Layers[0], got.Layers[1]
	if low.Added != 5 || low.Changed+low.Deleted != 0 || top.Added != 7 || top.Changed != 0 || top.Deleted != 3 || got.WastedBytes != 3 {
		t.Errorf("%+v", got)
	}
	for _, ref := range []string{"host", "nope"} {
		if _, err := s.Layers(context.Background(), ref); err == nil {
			t.Error(ref, "has layers")
		}
	}
}

func TestFlatten(t *testing.T) {
	ctx := context.Background()
	s := loaded(t, t.TempDir(), "app:1", awkward(t)...)
	f, err := s.Flatten(ctx, "app:1", "flat:1")
	if err != nil || f.Name != "flat:1" || f.Layers != 2 || f.After > f.Before {
		t.Fatalf("%+v %v", f, err)
	}
	again, err := s.Flatten(ctx, "app:1", "")
	if err != nil || again.ID != f.ID {
		t.Errorf("the second time %+v, %v, not %s", again, err, f.ID)
	}
	was, _ := s.Get(ctx, "app:1")
	is, err := s.Get(ctx, "flat:1")
	if err != nil || len(is.Layers) != 1 || is.Config.Healthcheck == nil || is.Config.Cmd[0] != was.Config.Cmd[0] || !is.Created.Equal(was.Created) {
		t.Errorf("%+v %v", is, err)
	}
	err = s.Diff(ctx, "app:1", "flat:1", func(d report.Difference) error { t.Errorf("%+v", d); return nil })
	if err != nil {
		t.Error(err)
	}
	if tree := verified(t, s); tree != "app:1 \nflat:1 " {
		t.Error(tree)
	}
}

func verified(t testing.TB, s *Store, refs ...string) string {
	t.Helper()
	var lines []string
	err := s.Verify(context.Background(), refs, func(v report.Verified) error {
		var texts []string
		for _, p := range v.Problems {
			if p.Step == "" || p.ID == "" {
				t.Errorf("%+v says too little", p)
			}
			texts = append(texts, p.What+": "+p.Text)
		}
		lines = append(lines, v.Image+" "+strings.Join(texts, "; "))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func TestVerify(t *testing.T) {
	layer := func(s *Store) string {
		img, _ := s.Get(context.Background(), "app:1")
		fs, err := s.PrepareRootfs(context.Background(), img, "c")
		if err != nil {
			t.Fatal(err)
		}
		return fs.Lowers[0]
	}
	blob := func(s *Store, what string) string {
		img, _ := s.Get(context.Background(), "app:1")
		d := map[string]digest.Digest{"config": img.ID, "manifest": img.Manifest.Digest, "layer": img.Layers[0]}[what]
		return s.depot.BlobPath(d)
	}
	spoil := func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b[len(b)/2]++
		return os.WriteFile(path, b, 0o644)
	}
	for name, row := range map[string]struct {
		spoil func(s *Store) error
		want  string
	}{
		"right":           {func(*Store) error { return nil }, "app:1 "},
		"config":          {func(s *Store) error { return spoil(blob(s, "config")) }, "configuration: its "},
		"manifest":        {func(s *Store) error { return spoil(blob(s, "manifest")) }, "image: its "},
		"layer":           {func(s *Store) error { return spoil(blob(s, "layer")) }, "layer: its "},
		"layer, cut":      {func(s *Store) error { return os.Truncate(blob(s, "layer"), 700) }, "layer: its 700 bytes"},
		"layer is gone":   {func(s *Store) error { return os.Remove(blob(s, "layer")) }, "layer: the blob is missing"},
		"file":            {func(s *Store) error { return spoil(layer(s) + "/su") }, "unpacked layer: /su: its content is another"},
		"file is gone":    {func(s *Store) error { return os.Remove(layer(s) + "/tmp/file") }, "unpacked layer: /tmp/file: it is missing"},
		"file too much":   {func(s *Store) error { return os.WriteFile(layer(s)+"/tmp/more", nil, 0o644) }, "unpacked layer: /tmp/more is no part of the layer"},
		"mode":            {func(s *Store) error { return os.Chmod(layer(s)+"/usr/file", 0o600) }, "unpacked layer: /usr/file: its mode is -rw-------, not -rw-r--r--"},
		"owner":           {func(s *Store) error { return os.Lchown(layer(s)+"/becomes-link", 1, 1) }, "unpacked layer: /becomes-link: its owner is 1:1, not 0:0"},
		"whiteout":        {func(s *Store) error { return os.Remove(layer(s) + "/etc/gone") }, "unpacked layer: /etc/gone: the whiteout is missing"},
		"whiteout filled": {func(s *Store) error { return replace(layer(s) + "/etc/gone") }, "unpacked layer: /etc/gone: it is a file, not a whiteout"},
		"kind":            {func(s *Store) error { return replace(layer(s) + "/becomes-link") }, "unpacked layer: /becomes-link: it is a file, not a symbolic link"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			s := loaded(t, root, "app:1", awkward(t)...)
			if err := row.spoil(s); err != nil {
				t.Fatal(err)
			}
			if got := verified(t, s); !strings.Contains(got, row.want) || strings.Count(got, ";") > 0 {
				t.Errorf("%s\nwant %s", got, row.want)
			}
			if name == "manifest" { // also when the store reads it anew
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if got := verified(t, openStore(t, root), "app:1"); !strings.Contains(got, row.want) {
					t.Errorf("after a restart: %s", got)
				}
			}
		})
	}
}

func replace(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, nil, 0o644)
}

func TestMount(t *testing.T) {
	ctx := context.Background()
	root, place := t.TempDir(), t.TempDir()
	s := loaded(t, root, "app:1", awkward(t)...)
	// Whatever fails, no mount is left behind.
	t.Cleanup(func() {
		points, _ := mount.Points(viewSource)
		for dir := range points {
			if strings.HasPrefix(dir, root) || dir == place {
				_ = mount.Unmount(dir, true)
			}
		}
	})
	own, err := s.Mount(ctx, "app:1", "")
	if err != nil || !own.Own {
		t.Fatalf("%+v %v", own, err)
	}
	named, err := s.Mount(ctx, "app:1", place)
	if err != nil || named.Dir != place {
		t.Fatalf("%+v %v", named, err)
	}
	for _, dir := range []string{own.Dir, place} {
		got := tree(t, dir)
		if !strings.Contains(got, "becomes-link 0:0 -> etc") || strings.Contains(got, "gone") || strings.Contains(got, "opaque/below") || !strings.Contains(got, "etc/kept") {
			t.Errorf("%s shows\n%s", dir, got)
		}
		if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); err == nil {
			t.Error("it can be written")
		}
	}
	for _, bad := range []string{place, "relative", root, root + "/nope"} {
		if _, err := s.Mount(ctx, "app:1", bad); !errdefs.IsConflict(err) && !errdefs.IsInvalidArgument(err) {
			t.Errorf("mount at %s: %v", bad, err)
		}
	}
	if _, err := s.Unmount(ctx, "app:1", false); !errdefs.IsInvalidArgument(err) {
		t.Errorf("unmount of one of two: %v", err)
	}
	// The image may go, and the engine: what is seen stays.
	if _, err := s.Remove(ctx, "app:1", false, func(digest.Digest) string { return "" }); err != nil {
		t.Fatal(err)
	}
	settle(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, root)
	settle(t, s)
	if got := tree(t, place); !strings.Contains(got, "etc/kept") {
		t.Errorf("after a restart it shows\n%s", got)
	}
	if list, err := s.Mounts(ctx); err != nil || len(list) != 2 {
		t.Errorf("%+v %v", list, err)
	}
	if _, err := s.Unmount(ctx, place, false); err != nil {
		t.Error(err)
	}
	// One that is gone when the engine starts, as after a crash of the machine.
	if err := mount.Unmount(own.Dir, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, root)
	settle(t, s)
	if list, err := s.Mounts(ctx); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	if _, err := os.Lstat(own.Dir); err == nil {
		t.Error("its directory is left")
	}
	if blobs, layers, _ := owned(t, s); blobs != 0 || layers != 0 {
		t.Errorf("left %d blobs and %d layers", blobs, layers)
	}
}

func TestCopy(t *testing.T) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.OK)
	want := serve(t, r, "team/app", "1", threeLayers(t)...).Digest
	s := newStore(t)
	reg := func(name string) Place { return Place{Kind: InRegistry, Ref: r.Host() + "/" + name} }
	copyTo := func(from, to Place) {
		t.Helper()
		if got, err := s.Copy(ctx, from, to, "", nil); err != nil || got != want {
			t.Fatalf("copy %s %s to %s %s: %s %v, want %s", from.Kind, from.Ref, to.Kind, to.Ref, got, err, want)
		}
	}
	var one, two bytes.Buffer
	to := func(b *bytes.Buffer, name string) Place {
		return Place{Kind: InArchive, Ref: name, Writer: func() io.Writer { return b }}
	}
	copyTo(reg("team/app:1"), reg("other/app:2"))
	copyTo(reg("other/app:2"), to(&one, ""))
	copyTo(Place{Kind: InArchive, Reader: bytes.NewReader(one.Bytes())}, reg("third/app:3"))
	settle(t, s)
	if blobs, layers, _ := owned(t, s); blobs != 0 || layers != 0 {
		t.Errorf("what passed through left %d blobs and %d layers", blobs, layers)
	}
	copyTo(reg("third/app:3"), Place{Kind: InStore, Ref: "here:1"})
	copyTo(Place{Kind: InStore, Ref: "here:1"}, to(&two, r.Host()+"/other/app:2"))
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("the archives differ")
	}
	copyTo(Place{Kind: InArchive, Ref: r.Host() + "/other/app:2", Reader: bytes.NewReader(two.Bytes())}, Place{Kind: InStore, Ref: "here:2"})
	if img, err := s.Get(ctx, "here:2"); err != nil || img.Target.Digest != want {
		t.Errorf("%+v %v", img.Target, err)
	}
	if tree := verified(t, s); tree != "here:1 \nhere:2 " {
		t.Error(tree)
	}
	for _, bad := range []struct {
		from, to Place
		want     string
	}{
		{Place{Kind: InArchive, Ref: "x:1", Reader: bytes.NewReader(one.Bytes())}, Place{Kind: InStore, Ref: "y"}, `no image "x:1"; it has`},
		{Place{Kind: InArchive, Reader: strings.NewReader(strings.Repeat("no tar ", 200))}, Place{Kind: InStore, Ref: "y"}, "no tar archive"},
		{Place{Kind: InStore, Ref: "nope"}, to(&one, ""), "No such image"},
		{Place{Kind: InStore, Ref: "host"}, to(&one, ""), "running system"},
		{Place{Kind: InStore, Ref: "here:1"}, Place{Kind: InStore, Ref: "host"}, "reserved"},
		{Place{Kind: InStore, Ref: "here:1"}, Place{Kind: InStore, Ref: "A"}, "invalid reference"},
	} {
		if _, err := s.Copy(ctx, bad.from, bad.to, "", nil); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("copy %v to %v: %v, want %q", bad.from.Ref, bad.to.Ref, err, bad.want)
		}
	}
}

func TestPart(t *testing.T) {
	ctx := context.Background()
	layers := threeLayers(t)
	s := loaded(t, t.TempDir(), "app:1", layers...)
	other := loaded(t, t.TempDir(), "base:1", layers[:2]...)
	all, err := s.Blobs(ctx, "app:1")
	if err != nil || len(all) != 5 {
		t.Fatalf("%+v %v", all, err)
	}
	missing, err := other.Missing(ctx, all)
	if err != nil || len(missing) != 3 {
		t.Fatalf("missing %+v %v", missing, err)
	}
	var part bytes.Buffer
	if err := s.Part(ctx, "app:1", missing, &part); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Load(ctx, bytes.NewReader(part.Bytes()), nil); err != nil {
		t.Fatal(err)
	}
	a, _ := s.Get(ctx, "app:1")
	if b, err := other.Get(ctx, "app:1"); err != nil || a.Target.Digest != b.Target.Digest {
		t.Errorf("%v, not %v: %v", b.Target, a.Target, err)
	}
	if _, err := newStore(t).Load(ctx, bytes.NewReader(part.Bytes()), nil); err == nil || !strings.Contains(err.Error(), "lacks") {
		t.Errorf("a part loads alone: %v", err)
	}
	if _, err := s.Missing(ctx, []report.Blob{{Digest: "../x"}}); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}

func TestRaw(t *testing.T) {
	s := loaded(t, t.TempDir(), "app:1", awkward(t)...)
	img, _ := s.Get(context.Background(), "app:1")
	for what, want := range map[string]digest.Digest{"": img.Target.Digest, RawManifest: img.Manifest.Digest, RawConfig: img.ID} {
		if _, b, err := s.Raw(context.Background(), "app:1", what); err != nil || digest.FromBytes(b) != want {
			t.Errorf("%s: %s %v", what, b, err)
		}
	}
	if _, _, err := s.Raw(context.Background(), "app:1", "x"); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}

// An index goes whole from registry to registry, and in the one platform that
// was asked for elsewhere.
func TestCopyIndex(t *testing.T) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.OK)
	var index ocispec.Index
	index.SchemaVersion, index.MediaType = 2, ocispec.MediaTypeImageIndex
	for i, arch := range []string{"amd64", "arm64"} {
		d := serve(t, r, "team/app", arch, noise(t, uint64(i), 1000))
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
		index.Manifests = append(index.Manifests, d)
	}
	b, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	want := r.AddManifest("team/app", "1", ocispec.MediaTypeImageIndex, b)
	s := newStore(t)
	from := Place{Kind: InRegistry, Ref: r.Host() + "/team/app:1"}
	for _, row := range []struct {
		to       Place
		platform string
		want     digest.Digest
	}{
		{Place{Kind: InRegistry, Ref: r.Host() + "/other/app:1"}, "", want},
		{Place{Kind: InRegistry, Ref: r.Host() + "/other/app:2"}, "linux/amd64", index.Manifests[0].Digest},
		{Place{Kind: InStore, Ref: "app:1"}, "", want},
		{Place{Kind: InStore, Ref: "app:2"}, "linux/amd64", index.Manifests[0].Digest},
		{Place{Kind: InArchive, Writer: func() io.Writer { return io.Discard }}, "linux/amd64", index.Manifests[0].Digest},
	} {
		if got, err := s.Copy(ctx, from, row.to, row.platform, nil); err != nil || got != row.want {
			t.Errorf("copy to %s %s for %q: %s %v, want %s", row.to.Kind, row.to.Ref, row.platform, got, err, row.want)
		}
	}
	if _, err := s.Copy(ctx, from, Place{Kind: InStore, Ref: "app:3"}, "linux/s390x", nil); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if tree := verified(t, s); tree != "app:1 \napp:2 " {
		t.Error(tree)
	}
}
