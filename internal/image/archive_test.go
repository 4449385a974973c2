package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/continuity/sysx"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// dockerArchive is what "docker save" writes in its old form: layers as
// tar files, a configuration, manifest.json at the end.
func dockerArchive(t testing.TB, tag string, layers ...[]byte) []byte {
	t.Helper()
	var diffs, names []string
	var files []file
	for i, l := range layers {
		diffs = append(diffs, digest.FromBytes(l).String())
		names = append(names, strings.Repeat("l", i+1)+"/layer.tar")
		files = append(files, reg(names[i], string(l)))
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "created": epoch.UTC(),
		"config": map[string]any{"Cmd": []string{"/bin/sh"}, "Healthcheck": map[string]any{"Test": []string{"CMD", "true"}}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, reg("config.json", string(config)))
	entry := map[string]any{"Config": "config.json", "Layers": names}
	if tag != "" {
		entry["RepoTags"] = []string{tag}
	}
	manifest, err := json.Marshal([]any{entry})
	if err != nil {
		t.Fatal(err)
	}
	return archiveOf(t, append(files, reg("manifest.json", string(manifest)))...)
}

// awkward are two layers with what makes layers awkward.
func awkward(t testing.TB) [][]byte {
	long := strings.Repeat("long-name-", 20)
	base := archiveOf(t,
		dir("etc", 0o755), reg("etc/gone", "x"), reg("etc/kept", "k"),
		dir("opaque", 0o755), reg("opaque/below", "b"),
		dir("tmp", 0o1777), dir("data", 0o700).with(0o700, 7), dir("becomes-link", 0o755), reg("becomes-link/in", "i"),
		reg(long, "long"),
		file{name: "usr", kind: tar.TypeDir, mode: 0o755, xattrs: map[string]string{"user.berth": "v"}},
	)
	top := archiveOf(t,
		reg("etc/.wh.gone", ""), dir("opaque", 0o755), reg("opaque/.wh..wh..opq", ""), reg("opaque/above", "a"),
		symlink("becomes-link", "etc"),
		reg("tmp/file", "t"), reg("data/deep/file", "d"), reg("usr/file", "u"),
		reg("su", "s").with(0o4755, 0), hardlink("su2", "su").with(0o4755, 0),
	)
	return [][]byte{base, top}
}

func TestLoadSave(t *testing.T) {
	ctx := context.Background()
	body := dockerArchive(t, "example/app:1", awkward(t)...)
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(body)
	z.Close()
	for name, in := range map[string][]byte{"tar": body, "gzip": gzipped(t, body), "zstd": packed.Bytes()} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			names, err := s.Load(ctx, bytes.NewReader(in), nil)
			if err != nil || !slices.Equal(names, []string{"example/app:1"}) {
				t.Fatalf("Load = %v, %v", names, err)
			}
			img, err := s.Get(ctx, "example/app:1")
			if err != nil {
				t.Fatal(err)
			}
			if img.Config.Healthcheck == nil {
				t.Error("the health check is lost")
			}
			checkAwkward(t, s, img)
			saveAndLoad(t, s, img)
		})
	}
}

func checkAwkward(t *testing.T, s *Store, img Image) {
	t.Helper()
	fs, err := s.PrepareRootfs(context.Background(), img, "c")
	if err != nil {
		t.Fatal(err)
	}
	got := tree(t, fs.Lowers[0])
	for _, want := range []string{
		"Dc--------- etc/gone", "-rw-r--r-- opaque/above", "becomes-link 0:0 -> etc",
		`urwxr-xr-x su 0:0 "s" links=2`, `urwxr-xr-x su2`,
		"dtrwxrwxrwx tmp 0:0",    // from below: the layer has no entry for it
		"drwx------ data 7:0",    // likewise
		"drwxr-xr-x data/deep 0", // nobody has one
	} {
		if !strings.Contains(got, want) {
			t.Errorf("top layer lacks %q:\n%s", want, got)
		}
	}
	for path, xattr := range map[string]string{"opaque": "trusted.overlay.opaque=y", "usr": "user.berth=v"} {
		name, want, _ := strings.Cut(xattr, "=")
		if v, err := sysx.LGetxattr(filepath.Join(fs.Lowers[0], path), name); err != nil || string(v) != want {
			t.Errorf("%s has %s=%q, %v", path, name, v, err)
		}
	}
	if err := s.RemoveRootfs(context.Background(), "c"); err != nil {
		t.Fatal(err)
	}
}

func saveAndLoad(t *testing.T, s *Store, img Image) {
	t.Helper()
	ctx := context.Background()
	var one, two bytes.Buffer
	for _, b := range []*bytes.Buffer{&one, &two} {
		if err := s.Save(ctx, []string{"example/app:1"}, "", b); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("two saves differ")
	}
	var files []string
	for tr := tar.NewReader(bytes.NewReader(one.Bytes())); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, h.Name)
	}
	for _, want := range []string{"manifest.json", "index.json", "oci-layout"} {
		if !slices.Contains(files, want) {
			t.Errorf("saved archive lacks %s: %v", want, files)
		}
	}
	other := newStore(t)
	names, err := other.Load(ctx, &one, nil)
	if err != nil || !slices.Equal(names, []string{"example/app:1"}) {
		t.Fatalf("Load of the saved = %v, %v", names, err)
	}
	again, err := other.Get(ctx, "example/app:1")
	if err != nil || again.ID != img.ID || again.Target.Digest != img.Target.Digest {
		t.Errorf("loaded %v %v, want %v %v (%v)", again.ID, again.Target.Digest, img.ID, img.Target.Digest, err)
	}
}

func TestLoadRefusals(t *testing.T) {
	ctx := context.Background()
	layerTar := archiveOf(t, reg("a", strings.Repeat("a", 4000)))
	good := dockerArchive(t, "x:1", layerTar)
	wrong := bytes.Replace(good, []byte(strings.Repeat("a", 4000)), []byte(strings.Repeat("b", 4000)), 1)
	for name, tc := range map[string]struct {
		body []byte
		want string
	}{
		"truncated":     {good[:3000], "truncated"},
		"garbage":       {bytes.Repeat([]byte("no tar"), 500), "no tar archive"},
		"xz":            {append([]byte("\xfd7zXZ\x00"), good...), "packed with xz"},
		"bzip2":         {append([]byte("BZh91AY&SY"), good...), "packed with bzip2"},
		"empty":         {nil, "neither manifest.json nor index.json"},
		"rootfs":        {layerTar, "neither manifest.json nor index.json"},
		"wrong layer":   {wrong, "but the image's configuration says"},
		"host":          {dockerArchive(t, "host:latest", layerTar), "is reserved"},
		"missing layer": {archiveOf(t, reg("config.json", "{}"), reg("manifest.json", `[{"Config":"config.json","Layers":["nope.tar"]}]`)), `"nope.tar" not found`},
		"broken layer":  {dockerArchive(t, "x:1", []byte(strings.Repeat("no tar", 300))), "layer"},
		"oci mismatch": {archiveOf(t, reg("oci-layout", `{"imageLayoutVersion":"1.0.0"}`), reg("blobs/sha256/"+strings.Repeat("a", 64), "x"),
			reg("index.json", `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"sha256:`+strings.Repeat("a", 64)+`"}]}`)), "lacks, or has with other content"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			names, err := s.Load(ctx, bytes.NewReader(tc.body), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Load = %v, %v, want %q", names, err, tc.want)
			}
			if blobs, layers, _ := owned(t, s); blobs != 0 || layers != 0 {
				t.Errorf("left %d blobs and %d layers", blobs, layers)
			}
			if list, _ := s.List(ctx); len(list) != 1 {
				t.Errorf("left images %v", list)
			}
		})
	}
}

func TestHostileLayer(t *testing.T) {
	ctx := context.Background()
	outside := t.TempDir()
	for name, files := range map[string][]file{
		"parent":         {reg("../../escaped", "x")},
		"absolute":       {reg(outside+"/escaped", "x")},
		"symlink":        {symlink("out", outside), reg("out/escaped", "x")},
		"symlink parent": {symlink("up", "../../../../../../../.."), reg("up"+outside+"/escaped", "x")},
		"hard link":      {hardlink("passwd", "../../../../../../../../etc/passwd")},
		"whiteout":       {symlink("out", outside), reg("out/.wh.victim", "")},
		"opaque":         {symlink("out", outside), reg("out/.wh..wh..opq", "")},
		"dot whiteout":   {reg(".wh...", "")},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			_, err := s.Import(ctx, bytes.NewReader(archiveOf(t, files...)), "x", "", nil, "")
			t.Log(err)
			if got := tree(t, outside); got != "" {
				t.Errorf("wrote outside: %s", got)
			}
		})
	}
}

func TestNamesAndRemoval(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	load := func(tag, body string) {
		t.Helper()
		if _, err := s.Load(ctx, bytes.NewReader(dockerArchive(t, tag, archiveOf(t, reg("a", body)))), nil); err != nil {
			t.Fatal(err)
		}
	}
	nobody := func(digest.Digest) string { return "" }
	somebody := func(digest.Digest) string { return strings.Repeat("c", 64) }
	load("app:1", "one")
	if err := s.Tag(ctx, "app:1", "other/app:2"); err != nil {
		t.Fatal(err)
	}
	img, _ := s.Get(ctx, "other/app:2")
	if !slices.Equal(img.Tags, []string{"app:1", "other/app:2"}) {
		t.Errorf("tags %v", img.Tags)
	}
	if _, err := s.Get(ctx, "app@"+img.Target.Digest.String()); err != nil {
		t.Error(err)
	}
	for _, target := range []string{"host", "host:x", "A", "a@" + img.ID.String()} {
		if err := s.Tag(ctx, "app:1", target); !errdefs.IsInvalidArgument(err) {
			t.Errorf("Tag to %s: %v", target, err)
		}
	}
	if err := s.Tag(ctx, "nope", "x"); !errdefs.IsNotFound(err) || err.Error() != "No such image: nope:latest" {
		t.Errorf("Tag of nothing: %v", err)
	}
	if _, err := s.Remove(ctx, img.ID.Encoded()[:12], false, nobody); err == nil || !strings.Contains(err.Error(), "image is referenced in multiple repositories") {
		t.Errorf("removal by ID: %v", err)
	}
	got, err := s.Remove(ctx, "other/app:2", false, somebody)
	if err != nil || len(got) != 2 || got[0].Untagged != "other/app:2" {
		t.Errorf("untag: %v %v", got, err)
	}
	if _, err := s.Remove(ctx, "app:1", false, somebody); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "container cccccccccccc is using") {
		t.Errorf("removal of one in use: %v", err)
	}
	if got, err := s.Remove(ctx, "app:1", true, somebody); err != nil || len(got) != 2 {
		t.Errorf("forced removal of one in use: %v %v", got, err)
	}
	if img, err := s.Get(ctx, img.ID.String()); err != nil || len(img.Tags) != 0 {
		t.Errorf("it should be dangling: %v %v", img.Tags, err)
	}
	load("app:1", "two")
	load("app:1", "three")
	if list, _ := s.List(ctx); len(list) != 4 {
		t.Errorf("%d images, want two dangling, app:1 and host", len(list))
	}
	list, _ := s.List(ctx)
	for _, i := range list {
		if i.Host {
			continue
		}
		got, err := s.Remove(ctx, i.ID.String(), false, nobody)
		if err != nil || got[len(got)-1].Deleted != i.ID.String() {
			t.Errorf("Remove = %v, %v", got, err)
		}
	}
	settle(t, s)
	if blobs, layers, _ := owned(t, s); blobs != 0 || layers != 0 {
		t.Errorf("left %d blobs and %d layers", blobs, layers)
	}
}

// A container keeps the layers it stands on, also without the image.
func TestRootfsKeepsLayers(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	if _, err := s.Load(ctx, bytes.NewReader(dockerArchive(t, "app", awkward(t)...)), nil); err != nil {
		t.Fatal(err)
	}
	img, _ := s.Get(ctx, "app")
	if _, err := s.PrepareRootfs(ctx, img, "c"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(ctx, "app", false, func(digest.Digest) string { return "" }); err != nil {
		t.Fatal(err)
	}
	settle(t, s)
	if blobs, layers, _ := owned(t, s); blobs != 0 || layers != 2 {
		t.Errorf("%d blobs and %d layers", blobs, layers)
	}
	if fs, err := s.Rootfs(ctx, "c"); err != nil || len(fs.Lowers) != 2 {
		t.Errorf("Rootfs = %v, %v", fs, err)
	}
	if err := s.SweepRootfs(ctx, func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	settle(t, s)
	if _, layers, rootfs := owned(t, s); layers != 0 || rootfs != 0 {
		t.Errorf("%d layers and %d rootfs", layers, rootfs)
	}
}

func TestHost(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	img, err := s.Get(ctx, "host")
	if err != nil || !img.Host || len(img.Config.Cmd) != 1 {
		t.Fatalf("Get(host) = %v, %v", img, err)
	}
	fs, err := s.PrepareRootfs(ctx, img, "c")
	if err != nil || !fs.Host || len(fs.Lowers) != 0 {
		t.Fatalf("PrepareRootfs = %v, %v", fs, err)
	}
	if !slices.Contains(fs.Hidden, s.depot.Root+"/") {
		t.Errorf("the data root %s is not hidden: %v", s.depot.Root, fs.Hidden)
	}
	if !slices.Contains(fs.Hidden, "/etc/shadow") {
		t.Errorf("/etc/shadow is not hidden: %v", fs.Hidden)
	}
	id := img.ID.String()
	for _, ref := range []string{"host", "host:latest", id, img.ID.Encoded(), id[:19], img.ID.Encoded()[:12]} {
		if got, err := s.Get(ctx, ref); err != nil || !got.Host {
			t.Errorf("Get(%s) = %v, %v", ref, got, err)
		}
		if _, err := s.Remove(ctx, ref, true, func(digest.Digest) string { return "" }); !errdefs.IsConflict(err) {
			t.Errorf("Remove(%s) = %v", ref, err)
		}
		if err := s.Tag(ctx, ref, "other"); !errdefs.IsInvalidArgument(err) {
			t.Errorf("Tag(%s) = %v", ref, err)
		}
		if err := s.Save(ctx, []string{ref}, "", io.Discard); !errdefs.IsInvalidArgument(err) {
			t.Errorf("Save(%s) = %v", ref, err)
		}
	}
}
