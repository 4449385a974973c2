package harness

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// Layers makes count layers, each a gzip of one file of size bytes that do not
// compress, named after its number.
func Layers(t testing.TB, count, size int) [][]byte {
	t.Helper()
	var layers [][]byte
	for i := range count {
		content := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{byte(i), byte(count)}).Read(content)
		layers = append(layers, TarGzip(t, Entry{tar.Header{Name: fmt.Sprint("layer", i), Mode: 0o644}, content}))
	}
	return layers
}

// Entry is one entry of a layer; Size, and the time if there is none, are filled in.
type Entry struct {
	tar.Header
	Content []byte
}

// TarGzip is a tar, packed.
func TarGzip(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := e.Header
		h.Size = int64(len(e.Content))
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1700000000, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.Content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Archive is an OCI layout in a tar, with one image of the given layers (tars
// packed with gzip), under a name.
func Archive(t testing.TB, name string, layers ...[]byte) []byte {
	t.Helper()
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	type descriptor struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int               `json:"size"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}
	add := func(mediaType string, b []byte) descriptor {
		files["blobs/sha256/"+Sum(b)] = b
		return descriptor{MediaType: mediaType, Digest: "sha256:" + Sum(b), Size: len(b)}
	}
	encode := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	diffs, descriptors, history := []string{}, []descriptor{}, []map[string]string{}
	for _, l := range layers {
		diffs = append(diffs, "sha256:"+Sum(gunzip(t, l)))
		descriptors = append(descriptors, add("application/vnd.oci.image.layer.v1.tar+gzip", l))
		history = append(history, map[string]string{"created": "2026-01-01T00:00:00Z", "created_by": "test"}) // umoci wants both
	}
	config := add("application/vnd.oci.image.config.v1+json", encode(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Cmd": []string{"sh"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs}, "history": history,
	}))
	manifest := add("application/vnd.oci.image.manifest.v1+json", encode(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": descriptors,
	}))
	manifest.Annotations = map[string]string{"io.containerd.image.name": name}
	files["index.json"] = encode(map[string]any{"schemaVersion": 2, "manifests": []descriptor{manifest}})
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Sum is the SHA-256 of b in hexadecimal.
func Sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func gunzip(t testing.TB, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	return plain.Bytes()
}
