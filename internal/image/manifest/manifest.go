// Package manifest reads, checks, chooses and writes what an image is made of:
// indexes, manifests and configurations. They are foreign bytes: Check finds
// what makes an image unusable before anything is fetched or unpacked for it.
package manifest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/types/container"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	MaxBytes       = 4 << 20 // of a manifest or index
	MaxConfigBytes = 8 << 20
	MaxDepth       = 4   // of indexes in indexes
	maxLayers      = 500 // overlayfs's own limit
)

// Image is one image for one platform: its manifest and configuration.
type Image struct {
	Desc     ocispec.Descriptor // of the manifest
	Manifest ocispec.Manifest
	Config   Config
}

// Reading is what a name points to, and the manifest in it that was chosen.
type Reading struct {
	Target   ocispec.Descriptor
	Manifest digest.Digest // "" if nothing was chosen
}

// Key tells readings apart.
func (r Reading) Key() string { return r.Target.Digest.String() + " " + r.Manifest.String() }

// Bare is a descriptor without what belongs to the place it came from.
func Bare(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// Config is the configuration blob with Docker's additions.
type Config struct {
	Created      *time.Time        `json:"created,omitempty"`
	Author       string            `json:"author,omitempty"`
	Architecture string            `json:"architecture"`
	OS           string            `json:"os"`
	Variant      string            `json:"variant,omitempty"`
	OSVersion    string            `json:"os.version,omitempty"`
	OSFeatures   []string          `json:"os.features,omitempty"`
	Config       *container.Config `json:"config,omitempty"`
	RootFS       ocispec.RootFS    `json:"rootfs"`
	History      []ocispec.History `json:"history,omitempty"`
}

// Platform is what the image is for, normalised.
func (c *Config) Platform() ocispec.Platform {
	return platforms.Normalize(ocispec.Platform{
		Architecture: c.Architecture, OS: c.OS, Variant: c.Variant,
		OSVersion: c.OSVersion, OSFeatures: c.OSFeatures,
	})
}

// Chain is the ID of the n lowest layers together.
func (p *Image) Chain(n int) string {
	if n == 0 {
		return ""
	}
	return identity.ChainID(p.Config.RootFS.DiffIDs[:n]).String()
}

// Check finds what makes an image unusable before anything is fetched for it.
func (p *Image) Check() error {
	diffs, layers := len(p.Config.RootFS.DiffIDs), len(p.Manifest.Layers)
	if diffs != layers {
		return invalid("image %s has %d layers and %d diff IDs", p.Desc.Digest, layers, diffs)
	}
	if layers > maxLayers {
		return invalid("image %s has %d layers, overlayfs takes %d", p.Desc.Digest, layers, maxLayers)
	}
	for i, l := range p.Manifest.Layers {
		if err := l.Digest.Validate(); err != nil {
			return invalid("image %s: layer digest %q: %v", p.Desc.Digest, l.Digest, err)
		}
		if err := p.Config.RootFS.DiffIDs[i].Validate(); err != nil {
			return invalid("image %s: diff ID %q: %v", p.Desc.Digest, p.Config.RootFS.DiffIDs[i], err)
		}
		if l.Size < 0 {
			return invalid("image %s: layer %s has a negative size", p.Desc.Digest, l.Digest)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// Read reads the image that a record names: of an index the manifest that
// was chosen for it, or else the best of those that are here.
func Read(ctx context.Context, s *depot.Depot, r Reading) (*Image, error) {
	target, want := r.Target, anyPlatform()
	desc := target
	for depth := 0; images.IsIndexType(desc.MediaType); depth++ {
		var index ocispec.Index
		if err := s.ReadJSON(ctx, desc, MaxBytes, &index); err != nil {
			return nil, err
		}
		child, err := Choose(index, want, func(d ocispec.Descriptor) bool {
			if r.Manifest != "" && !images.IsIndexType(d.MediaType) {
				return d.Digest == r.Manifest
			}
			_, err := s.Blobs.Info(ctx, d.Digest)
			return err == nil
		})
		if err != nil {
			return nil, err
		}
		if desc = child; depth > MaxDepth {
			return nil, invalid("image index %s is nested too deeply", target.Digest)
		}
	}
	p := &Image{Desc: desc}
	if err := s.ReadJSON(ctx, desc, MaxBytes, &p.Manifest); err != nil {
		return nil, err
	}
	return p, s.ReadJSON(ctx, p.Manifest.Config, MaxConfigBytes, &p.Config)
}

// Choose picks the manifest of an index: of those that fit want the best, and
// of those the ones that are there before the ones that are not.
func Choose(index ocispec.Index, want platforms.MatchComparer, here func(ocispec.Descriptor) bool) (ocispec.Descriptor, error) {
	var best *ocispec.Descriptor
	var bestHere bool
	for i := range index.Manifests {
		d := &index.Manifests[i]
		if !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType) || IsAttestation(d) {
			continue
		}
		if d.Platform != nil && d.Platform.OS != "" && !want.Match(*d.Platform) {
			continue
		}
		present := here == nil || here(*d)
		switch {
		case best == nil,
			present && !bestHere,
			present == bestHere && d.Platform != nil && best.Platform != nil && want.Less(*d.Platform, *best.Platform):
			best, bestHere = d, present
		}
	}
	if best == nil {
		return ocispec.Descriptor{}, errdefs.ErrNotFound.WithMessage("no matching manifest in the image index")
	}
	return *best, nil
}

// IsAttestation says if a manifest is about an image instead of one.
func IsAttestation(d *ocispec.Descriptor) bool {
	return d.Annotations["vnd.docker.reference.type"] == "attestation-manifest"
}

// anyPlatform matches everything: an image that somebody loaded for another
// machine is still an image.
func anyPlatform() platforms.MatchComparer {
	return preferred{platforms.Default()}
}

type preferred struct{ platforms.MatchComparer }

func (preferred) Match(ocispec.Platform) bool { return true }

// ParsePlatform reads "linux/arm64"; "" is this machine's.
func ParsePlatform(text string) (platforms.MatchComparer, error) {
	if text == "" {
		return platforms.Default(), nil
	}
	p, err := platforms.Parse(text)
	if err != nil {
		return nil, invalid("invalid platform %q: %v", text, err)
	}
	return platforms.Only(p), nil
}

// Platforms lists what an index has, for a message.
func Platforms(index ocispec.Index) string {
	var all []string
	for _, m := range index.Manifests {
		if m.Platform != nil && !IsAttestation(&m) {
			all = append(all, platforms.Format(*m.Platform))
		}
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}
