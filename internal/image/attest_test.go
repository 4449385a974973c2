package image

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layoutWith is an archive of an image "box:1" whose index has a statement about
// it and one about another image.
func layoutWith(t *testing.T, statement string) []byte {
	t.Helper()
	files := []file{reg("oci-layout", `{"imageLayoutVersion":"1.0.0"}`)}
	add := func(kind string, content any) ocispec.Descriptor {
		b, ok := content.([]byte)
		if !ok {
			var err error
			if b, err = json.Marshal(content); err != nil {
				t.Fatal(err)
			}
		}
		d := ocispec.Descriptor{MediaType: kind, Digest: digest.FromBytes(b), Size: int64(len(b))}
		files = append(files, reg("blobs/sha256/"+d.Digest.Encoded(), string(b)))
		return d
	}
	plain := noise(t, 5, 1000)
	layer := add(ocispec.MediaTypeImageLayerGzip, gzipped(t, plain))
	config := add(ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(plain)}},
	})
	two := specs.Versioned{SchemaVersion: 2}
	one := add(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: two, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{layer},
	})
	one.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	said := add("application/vnd.in-toto+json", []byte(statement))
	said.Annotations = map[string]string{"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"}
	about := func(of digest.Digest) ocispec.Descriptor {
		d := add(ocispec.MediaTypeImageManifest, ocispec.Manifest{
			Versioned: two, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{said},
			Annotations: map[string]string{"of": of.String()},
		})
		d.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
		d.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of.String()}
		return d
	}
	index := add(ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: two, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{one, about(one.Digest), about(digest.FromString("another image"))},
	})
	index.Annotations = map[string]string{"io.containerd.image.name": "docker.io/library/box:1"}
	b, err := json.Marshal(ocispec.Index{Versioned: two, Manifests: []ocispec.Descriptor{index}})
	if err != nil {
		t.Fatal(err)
	}
	return archiveOf(t, append(files, reg("index.json", string(b)))...)
}

func TestAttestations(t *testing.T) {
	ctx := context.Background()
	const statement = `{"_type":"https://in-toto.io/Statement/v0.1"}`
	s := newStore(t)
	if _, err := s.Load(ctx, bytes.NewReader(layoutWith(t, statement)), nil); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		types []string
		read  bool
		want  int
	}{
		{nil, true, 1}, {nil, false, 1}, {[]string{"https://spdx.dev/Document"}, true, 0}, {[]string{"https://slsa.dev/provenance/v1"}, true, 1},
	} {
		found, err := s.Attestations(ctx, "box:1", row.types, row.read)
		if err != nil || len(found) != row.want {
			t.Errorf("%+v: %v %v", row, found, err)
			continue
		}
		for _, f := range found {
			if (f.Statement != nil) != row.read || row.read && string(*f.Statement) != statement {
				t.Errorf("%+v: %v", row, f)
			}
		}
	}
}
