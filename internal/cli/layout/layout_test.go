package layout

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// archive is an image of one layer as the engine sends it.
func archive(t testing.TB, text string) ([]byte, digest.Digest) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	p := packer{w: w}
	add := func(mediaType string, content []byte) ocispec.Descriptor {
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
		if err := p.file(blobName(d.Digest), content); err != nil {
			t.Fatal(err)
		}
		return d
	}
	m := ocispec.Manifest{Config: add(ocispec.MediaTypeImageConfig, []byte("{}")), Layers: []ocispec.Descriptor{add(ocispec.MediaTypeImageLayer, []byte(text))}}
	m.SchemaVersion, m.MediaType = 2, ocispec.MediaTypeImageManifest
	content, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	d := add(ocispec.MediaTypeImageManifest, content)
	if content, err = json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{d}}); err == nil {
		err = p.file("index.json", content)
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes(), d.Digest
}

func TestUnpackAndPack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	digests := map[string]digest.Digest{}
	for _, row := range []struct{ ref, text string }{{"1", "one"}, {"2", "two"}, {"1", "three"}, {"1", "three"}} {
		b, want := archive(t, row.text)
		got, err := Unpack(dir, row.ref, bytes.NewReader(b))
		if err != nil || got != want {
			t.Fatalf("%s %v, want %s", got, err, want)
		}
		digests[row.ref] = want
	}
	index, err := readIndex(dir)
	if err != nil || len(index.Manifests) != 2 {
		t.Fatalf("%+v %v", index, err)
	}
	for ref, want := range digests {
		var b bytes.Buffer
		if err := Pack(dir, ref, &b); err != nil {
			t.Fatal(err)
		}
		if got, err := Unpack(t.TempDir(), "", &b); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", ref, got, err, want)
		}
	}
	for ref, want := range map[string]string{"": "has 2 images; name one after a colon: 2, 1", "3": `has no image "3"; it has 2, 1`} {
		if err := Pack(dir, ref, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", ref, err)
		}
	}
	if err := Pack(t.TempDir(), "", &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "index.json") {
		t.Error(err)
	}
}

func TestUnpackRefusals(t *testing.T) {
	good, _ := archive(t, "one")
	named := func(name string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := (&packer{w: w}).file(name, []byte("x")); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, b := range map[string][]byte{
		"nothing": named("x"), "cut": good[:700], "other bytes": bytes.Replace(good, []byte("one"), []byte("two"), 1),
		"no digest": named("blobs/sha256/x"), "too deep": named("blobs/sha256/x/y"), "other hash": named("blobs/../../x"),
	} {
		dir := t.TempDir()
		if _, err := Unpack(dir, "", bytes.NewReader(b)); err == nil {
			t.Error(name, "is taken")
		}
		if _, err := os.Stat(filepath.Join(dir, "index.json")); err == nil {
			t.Error(name, "leaves an index")
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "blobs/*/.tmp-*")); len(left) > 0 {
			t.Error(name, "leaves", left)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	good, _ := archive(f, "one")
	f.Add(good)
	f.Add(good[:1000])
	f.Add(bytes.ReplaceAll(good, []byte("blobs/sha256"), []byte("blobs/../../")))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := filepath.Join(t.TempDir(), "in")
		_, _ = Unpack(dir, "x", bytes.NewReader(b))
		above, err := os.ReadDir(filepath.Dir(dir))
		if err != nil || len(above) > 1 {
			t.Errorf("wrote outside: %v %v", above, err)
		}
	})
}
