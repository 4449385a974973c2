package store

import (
	"encoding/json"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Manifest is what the registry reads of any manifest: an image, an index, an
// artifact, OCI's or Docker's.
type Manifest struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	ArtifactType  string               `json:"artifactType"`
	Config        *ocispec.Descriptor  `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Blobs         []ocispec.Descriptor `json:"blobs"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Subject       *ocispec.Descriptor  `json:"subject"`
	Annotations   map[string]string    `json:"annotations"`
}

// ParseManifest reads one.
func ParseManifest(content []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return Manifest{}, fmt.Errorf("parse manifest: %w", err)
	}
	if m.SchemaVersion != 2 {
		return Manifest{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the manifest is of schema version %d; push it with a client that makes version 2", m.SchemaVersion))
	}
	return m, nil
}

// Content lists the digests of what belongs to a manifest, without its
// subject. What is no digest is left out: nothing can be stored below it.
func (m Manifest) Content() (layers, manifests []digest.Digest) {
	for _, list := range [][]ocispec.Descriptor{m.Layers, m.Blobs} {
		for _, d := range list {
			layers = appendValid(layers, d.Digest)
		}
	}
	if m.Config != nil {
		layers = appendValid(layers, m.Config.Digest)
	}
	for _, d := range m.Manifests {
		manifests = appendValid(manifests, d.Digest)
	}
	return layers, manifests
}

func appendValid(list []digest.Digest, d digest.Digest) []digest.Digest {
	if d.Validate() != nil {
		return list
	}
	return append(list, d)
}

// Descriptor is how a list of referrers shows a manifest.
func (m Manifest) Descriptor(d digest.Digest, size int64, mediaType string) ocispec.Descriptor {
	out := ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: size, ArtifactType: m.ArtifactType, Annotations: m.Annotations}
	if out.ArtifactType == "" && m.Config != nil {
		out.ArtifactType = m.Config.MediaType
	}
	return out
}
