package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/berth-containers/berth/internal/distribution/registrytest"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// chunked packs b as zstd:chunked does: frames of their own, then what lists
// them in frames that other readers skip.
func chunked(t *testing.T, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	half := len(b) / 2
	packed := w.EncodeAll(b[half:], w.EncodeAll(b[:half], nil))
	for _, skipped := range []string{"the table of contents", "the footer"} {
		packed = binary.LittleEndian.AppendUint32(packed, 0x184D2A50)
		packed = binary.LittleEndian.AppendUint32(packed, uint32(len(skipped)))
		packed = append(packed, skipped...)
	}
	return packed
}

// stargz packs b as estargz does: members of their own, the last one empty with
// the place of the table of contents in its header.
func stargz(t *testing.T, b []byte) []byte {
	t.Helper()
	half := len(b) / 2
	packed := append(gzipped(t, b[:half]), gzipped(t, b[half:])...)
	var footer bytes.Buffer
	w := gzip.NewWriter(&footer)
	w.Extra = []byte("SG\x16\x00" + fmt.Sprintf("%016xSTARGZ", len(packed)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(packed, footer.Bytes()...)
}

// publish puts an image of one layer into the registry, in Docker's types or OCI's.
func publish(t *testing.T, r *registrytest.Registry, tag string, docker bool, plain []byte, layer ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	image := ocispec.Image{Created: &epoch, Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	image.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(plain)}}
	config, err := json.Marshal(image)
	if err != nil {
		t.Fatal(err)
	}
	kind, configKind := ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig
	if docker {
		kind, configKind = images.MediaTypeDockerSchema2Manifest, images.MediaTypeDockerSchema2Config
	}
	b, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: kind, Layers: []ocispec.Descriptor{layer},
		Config: ocispec.Descriptor{MediaType: configKind, Digest: r.AddBlob(config), Size: int64(len(config))},
	})
	if err != nil {
		t.Fatal(err)
	}
	return ocispec.Descriptor{MediaType: kind, Digest: r.AddManifest("app", tag, kind, b), Size: int64(len(b)), Platform: &image.Platform}
}

// Layers in every packing that there is come as they are and go as they came.
func TestPackings(t *testing.T) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.OK)
	plain := noise(t, 3, 100_000)
	for name, tc := range map[string]struct {
		kind   string
		packed []byte
		docker bool
	}{
		"oci gzip":        {ocispec.MediaTypeImageLayerGzip, gzipped(t, plain), false},
		"docker gzip":     {images.MediaTypeDockerSchema2LayerGzip, gzipped(t, plain), true},
		"docker zstd":     {images.MediaTypeDockerSchema2LayerZstd, chunked(t, plain), true},
		"zstd:chunked":    {ocispec.MediaTypeImageLayerZstd, chunked(t, plain), false},
		"estargz":         {ocispec.MediaTypeImageLayerGzip, stargz(t, plain), false},
		"foreign, inside": {images.MediaTypeDockerSchema2LayerForeignGzip, gzipped(t, plain), true},
	} {
		t.Run(name, func(t *testing.T) {
			layer := ocispec.Descriptor{MediaType: tc.kind, Digest: r.AddBlob(tc.packed), Size: int64(len(tc.packed))}
			want := publish(t, r, "1", tc.docker, plain, layer)
			s := newStore(t)
			img, err := s.Pull(ctx, r.Host()+"/app:1", "linux/amd64", Credentials{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			fs, err := s.PrepareRootfs(ctx, img, "c")
			if err != nil {
				t.Fatal(err)
			}
			if got := tree(t, fs.Lowers[0]); got != `-rw-r--r-- noise 0:0 "100000 bytes"` {
				t.Errorf("unpacked:\n%s", got)
			}
			other := registrytest.New(t, registrytest.OK)
			ref := other.Host() + "/copy:1"
			if err := s.Tag(ctx, r.Host()+"/app:1", ref); err != nil {
				t.Fatal(err)
			}
			if d, _, err := s.Push(ctx, ref, "", Credentials{}, nil); err != nil || d != want.Digest {
				t.Errorf("pushed %s of %s: %v", d, want.Digest, err)
			}
			if !bytes.Equal(other.Blobs[layer.Digest], tc.packed) {
				t.Error("the layer went as other bytes than it came")
			}
		})
	}
}

func TestPullKinds(t *testing.T) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.OK)
	plain := noise(t, 4, 20_000)
	packed := gzipped(t, plain)
	layer := ocispec.Descriptor{MediaType: images.MediaTypeDockerSchema2LayerGzip, Digest: r.AddBlob(packed), Size: int64(len(packed))}
	bottom := publish(t, r, "", true, plain, layer)
	nest := func(kind string, levels int) ocispec.Descriptor {
		d := bottom
		for i := range levels {
			b := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}],"annotations":{"n":"%d"}}`, kind, d.MediaType, d.Digest, d.Size, i)
			d = ocispec.Descriptor{MediaType: kind, Digest: r.AddManifest("app", fmt.Sprintf("%d%s", levels, strings.NewReplacer("/", "-", "+", "-").Replace(kind)), kind, b), Size: int64(len(b))}
		}
		return d
	}
	gone := layer
	gone.MediaType, gone.Digest, gone.URLs = images.MediaTypeDockerSchema2LayerForeignGzip, digest.FromString("gone"), []string{"https://layers.example/1"}
	for name, tc := range map[string]struct {
		of   digest.Digest
		kind func(error) bool
		want string
	}{
		"list":              {nest(images.MediaTypeDockerSchema2ManifestList, 1).Digest, nil, ""},
		"index in an index": {nest(ocispec.MediaTypeImageIndex, 3).Digest, nil, ""},
		"too deep":          {nest(ocispec.MediaTypeImageIndex, 8).Digest, errdefs.IsInvalidArgument, "nested too deeply"},
		"schema 1":          {r.AddManifest("app", "", images.MediaTypeDockerSchema1Manifest, []byte(`{"schemaVersion":1,"signatures":[]}`)), errdefs.IsInvalidArgument, "schema 1"},
		"schema 1, plain":   {r.AddManifest("app", "", "application/vnd.docker.distribution.manifest.v1+json", []byte(`{"schemaVersion":1}`)), errdefs.IsInvalidArgument, "schema 1"},
		"artifact":          {r.AddManifest("app", "", "application/vnd.example", []byte(`{}`)), errdefs.IsInvalidArgument, "not an image"},
		"foreign":           {publish(t, r, "", true, plain, gone).Digest, errdefs.IsPermissionDenied, "layers.example"},
	} {
		_, err := newStore(t).Pull(ctx, r.Host()+"/app@"+tc.of.String(), "linux/amd64", Credentials{}, nil)
		if (err == nil) != (tc.kind == nil) || err != nil && (!tc.kind(err) || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the registry has under another name of the image is not sent again.
func TestPushMounts(t *testing.T) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.OK)
	r.Own = true
	s := newStore(t)
	if _, err := s.Load(ctx, bytes.NewReader(dockerArchive(t, "app:1", threeLayers(t)...)), nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/team/app:1", "/other/app:2"} {
		if err := s.Tag(ctx, "app:1", r.Host()+name); err != nil {
			t.Fatal(err)
		}
		var events []Event
		if _, _, err := s.Push(ctx, r.Host()+name, "", Credentials{}, func(e Event) { events = append(events, e) }); err != nil {
			t.Fatal(err)
		}
		if mounted := strings.Contains(strings.Join(statuses(events), " "), "Mounted from team/app"); mounted != strings.HasPrefix(name, "/other") {
			t.Errorf("%s: %q", name, statuses(events))
		}
	}
	if n := r.Served("PATCH", "/v2/other/") + r.Served("PUT", "/v2/other/app/blobs/"); n != 0 {
		t.Errorf("%d requests sent blobs", n)
	}
}

// What a name means in its registry is told without a trace in the store.
func TestRemote(t *testing.T) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.OK)
	plain := noise(t, 5, 1000)
	packed := gzipped(t, plain)
	one := publish(t, r, "one", false, plain, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: r.AddBlob(packed), Size: int64(len(packed))})
	arm := one
	arm.Platform = &ocispec.Platform{OS: "linux", Architecture: "arm64"}
	about := one
	about.Platform, about.Annotations = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}, map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	b, err := json.Marshal(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{one, arm, about}})
	if err != nil {
		t.Fatal(err)
	}
	many := r.AddManifest("app", "many", ocispec.MediaTypeImageIndex, b)
	artifact := r.AddManifest("app", "artifact", "application/vnd.example", []byte(`{}`))
	s := newStore(t)
	for tag, want := range map[string]struct {
		digest    digest.Digest
		platforms string
		kind      func(error) bool
	}{
		"one":      {one.Digest, "[{amd64 linux  [] }]", nil},
		"many":     {many, "[{amd64 linux  [] } {arm64 linux  [] }]", nil},
		"artifact": {artifact, "[]", errdefs.IsInvalidArgument},
		"none":     {"", "[]", errdefs.IsNotFound},
	} {
		desc, platforms, err := s.Remote(ctx, r.Host()+"/app:"+tag, Credentials{})
		if desc.Digest != want.digest || fmt.Sprint(platforms) != want.platforms || (err == nil) != (want.kind == nil) || err != nil && !want.kind(err) {
			t.Errorf("%s: %v %v %v", tag, desc, platforms, err)
		}
	}
	if blobs, layers, _ := owned(t, s); blobs+layers != 0 {
		t.Errorf("%d blobs and %d layers were stored", blobs, layers)
	}
}
