package image

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/types/container"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	maxManifestBytes = 4 << 20
	maxConfigBytes   = 8 << 20
	maxLayers        = 500 // overlayfs's own limit
)

// parsed is one image for one platform: its manifest and configuration.
type parsed struct {
	desc     ocispec.Descriptor // of the manifest
	manifest ocispec.Manifest
	config   config
}

// reading is what a name points to, and the manifest in it that was chosen.
type reading struct {
	target   ocispec.Descriptor
	manifest digest.Digest // "" if nothing was chosen
}

// key tells readings apart.
func (r reading) key() string { return r.target.Digest.String() + " " + r.manifest.String() }

// config is the configuration blob with Docker's additions.
type config struct {
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

func (c *config) platform() ocispec.Platform {
	return platforms.Normalize(ocispec.Platform{
		Architecture: c.Architecture, OS: c.OS, Variant: c.Variant,
		OSVersion: c.OSVersion, OSFeatures: c.OSFeatures,
	})
}

// chain is the ID of the n lowest layers together.
func (p *parsed) chain(n int) string {
	if n == 0 {
		return ""
	}
	return identity.ChainID(p.config.RootFS.DiffIDs[:n]).String()
}

// check finds what makes an image unusable before anything is fetched for it.
func (p *parsed) check() error {
	diffs, layers := len(p.config.RootFS.DiffIDs), len(p.manifest.Layers)
	if diffs != layers {
		return invalid("image %s has %d layers and %d diff IDs", p.desc.Digest, layers, diffs)
	}
	if layers > maxLayers {
		return invalid("image %s has %d layers, overlayfs takes %d", p.desc.Digest, layers, maxLayers)
	}
	for i, l := range p.manifest.Layers {
		if err := l.Digest.Validate(); err != nil {
			return invalid("image %s: layer digest %q: %v", p.desc.Digest, l.Digest, err)
		}
		if err := p.config.RootFS.DiffIDs[i].Validate(); err != nil {
			return invalid("image %s: diff ID %q: %v", p.desc.Digest, p.config.RootFS.DiffIDs[i], err)
		}
		if l.Size < 0 {
			return invalid("image %s: layer %s has a negative size", p.desc.Digest, l.Digest)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

func (s *depot) blobPath(d digest.Digest) string {
	return filepath.Join(s.layout, "blobs", d.Algorithm().String(), d.Encoded())
}

// readBlob reads a small blob of the store.
func (s *depot) readBlob(ctx context.Context, desc ocispec.Descriptor, limit int64) ([]byte, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, invalid("digest %q: %v", desc.Digest, err)
	}
	ra, err := s.blobs.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer ra.Close()
	if ra.Size() > limit {
		return nil, invalid("%s is larger than %d bytes", desc.Digest, limit)
	}
	return io.ReadAll(content.NewReader(ra))
}

func (s *depot) readJSON(ctx context.Context, desc ocispec.Descriptor, limit int64, into any) error {
	b, err := s.readBlob(ctx, desc, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return invalid("read %s: %v", desc.Digest, err)
	}
	return nil
}

// parse reads the image that a record names: of an index the manifest that
// was chosen for it, or else the best of those that are here.
func (s *depot) parse(ctx context.Context, r reading) (*parsed, error) {
	target, want := r.target, anyPlatform()
	desc := target
	for depth := 0; images.IsIndexType(desc.MediaType); depth++ {
		var index ocispec.Index
		if err := s.readJSON(ctx, desc, maxManifestBytes, &index); err != nil {
			return nil, err
		}
		child, err := choose(index, want, func(d ocispec.Descriptor) bool {
			if r.manifest != "" && !images.IsIndexType(d.MediaType) {
				return d.Digest == r.manifest
			}
			_, err := s.blobs.Info(ctx, d.Digest)
			return err == nil
		})
		if err != nil {
			return nil, err
		}
		if desc = child; depth > 4 {
			return nil, invalid("image index %s is nested too deeply", target.Digest)
		}
	}
	p := &parsed{desc: desc}
	if err := s.readJSON(ctx, desc, maxManifestBytes, &p.manifest); err != nil {
		return nil, err
	}
	return p, s.readJSON(ctx, p.manifest.Config, maxConfigBytes, &p.config)
}

// choose picks the manifest of an index: of those that fit want the best, and
// of those the ones that are there before the ones that are not.
func choose(index ocispec.Index, want platforms.MatchComparer, here func(ocispec.Descriptor) bool) (ocispec.Descriptor, error) {
	var best *ocispec.Descriptor
	var bestHere bool
	for i := range index.Manifests {
		d := &index.Manifests[i]
		if !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType) || isAttestation(d) {
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

func isAttestation(d *ocispec.Descriptor) bool {
	return d.Annotations["vnd.docker.reference.type"] == "attestation-manifest"
}

// anyPlatform matches everything: an image that somebody loaded for another
// machine is still an image.
func anyPlatform() platforms.MatchComparer {
	return preferred{platforms.Default()}
}

type preferred struct{ platforms.MatchComparer }

func (preferred) Match(ocispec.Platform) bool { return true }

// parsePlatform reads "linux/arm64"; "" is this machine's.
func parsePlatform(text string) (platforms.MatchComparer, error) {
	if text == "" {
		return platforms.Default(), nil
	}
	p, err := platforms.Parse(text)
	if err != nil {
		return nil, invalid("invalid platform %q: %v", text, err)
	}
	return platforms.Only(p), nil
}

// writeBlob stores a small blob.
func (s *depot) writeBlob(ctx context.Context, mediaType string, b []byte) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	return desc, s.writeDescribed(ctx, desc, b)
}

func (s *depot) writeDescribed(ctx context.Context, desc ocispec.Descriptor, b []byte) error {
	release, err := s.flights.take(ctx, "blob "+desc.Digest.String())
	if err != nil {
		return err
	}
	defer release()
	if here, err := s.holdBlob(ctx, desc.Digest); here || err != nil {
		return err
	}
	return content.WriteBlob(ctx, s.blobs, "blob-"+desc.Digest.String(), bytes.NewReader(b), desc)
}

// adopt makes a manifest (and an index above it) the owner of what it lists.
func (s *depot) adopt(ctx context.Context, target ocispec.Descriptor, p *parsed) error {
	owned := map[string]string{"containerd.io/gc.ref.content.config": p.manifest.Config.Digest.String()}
	for i, l := range p.manifest.Layers {
		owned[fmt.Sprintf("containerd.io/gc.ref.content.l.%d", i)] = l.Digest.String()
	}
	if err := s.label(ctx, p.desc.Digest, owned); err != nil {
		return err
	}
	for desc := target; images.IsIndexType(desc.MediaType); {
		var index ocispec.Index
		if err := s.readJSON(ctx, desc, maxManifestBytes, &index); err != nil {
			return err
		}
		owned := map[string]string{}
		var next ocispec.Descriptor
		for i, m := range index.Manifests {
			if _, err := s.blobs.Info(ctx, m.Digest); err != nil {
				continue
			}
			owned[fmt.Sprintf("containerd.io/gc.ref.content.m.%d", i)] = m.Digest.String()
			if images.IsIndexType(m.MediaType) {
				next = m
			}
		}
		if err := s.label(ctx, desc.Digest, owned); err != nil {
			return err
		}
		desc = next
	}
	if chain := p.chain(len(p.config.RootFS.DiffIDs)); chain != "" {
		return s.label(ctx, p.manifest.Config.Digest, map[string]string{"containerd.io/gc.ref.snapshot." + snapshotter: chain})
	}
	return nil
}

// label adds labels to a blob; those it has stay.
func (s *depot) label(ctx context.Context, d digest.Digest, labels map[string]string) error {
	info := content.Info{Digest: d, Labels: labels}
	fields := make([]string, 0, len(labels))
	for k := range labels {
		fields = append(fields, "labels."+k)
	}
	if len(fields) == 0 {
		return nil
	}
	if _, err := s.blobs.Update(ctx, info, fields...); err != nil {
		return fmt.Errorf("own blobs of %s: %w", d, err)
	}
	return nil
}
