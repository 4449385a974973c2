package manifest

import (
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestChoose(t *testing.T) {
	of := func(name, os, arch, variant string) ocispec.Descriptor {
		return ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(name),
			Platform: &ocispec.Platform{OS: os, Architecture: arch, Variant: variant},
		}
	}
	attestation := of("attestation", "linux", "amd64", "")
	attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	foreign := of("foreign", "linux", "amd64", "")
	foreign.MediaType = "application/x-other"
	index := ocispec.Index{Manifests: []ocispec.Descriptor{
		attestation, foreign, of("v6", "linux", "arm", "v6"), of("v7", "linux", "arm", "v7"), of("amd64", "linux", "amd64", ""),
	}}
	for platform, want := range map[string]string{
		"linux/amd64": "amd64", "linux/arm": "v7", "linux/arm/v6": "v6", "linux/arm64": "v7", "linux/riscv64": "",
	} {
		p, err := ParsePlatform(platform)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Choose(index, p, nil)
		if want == "" {
			if !errdefs.IsNotFound(err) {
				t.Errorf("%s: %v", platform, err)
			}
			continue
		}
		if err != nil || got.Digest != digest.FromString(want) {
			t.Errorf("%s chose %v (%v), not %s", platform, got.Platform, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	d := digest.FromString("x")
	image := func(layers []ocispec.Descriptor, diffs ...digest.Digest) *Image {
		return &Image{Desc: ocispec.Descriptor{Digest: d}, Manifest: ocispec.Manifest{Layers: layers}, Config: Config{RootFS: ocispec.RootFS{DiffIDs: diffs}}}
	}
	for name, bad := range map[string]*Image{
		"too few diff IDs": image([]ocispec.Descriptor{{Digest: d}}),
		"no digest":        image([]ocispec.Descriptor{{Digest: "sha256:../.."}}, d),
		"no diff ID":       image([]ocispec.Descriptor{{Digest: d}}, "x"),
		"negative size":    image([]ocispec.Descriptor{{Digest: d, Size: -1}}, d),
		"too many layers":  image(make([]ocispec.Descriptor, maxLayers+1), make([]digest.Digest, maxLayers+1)...),
	} {
		if err := bad.Check(); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
