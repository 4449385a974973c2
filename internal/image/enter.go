package image

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/name"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Made is an image whose blobs a builder put into the depot.
type Made struct {
	Names  []string // none makes a dangling image
	Target ocispec.Descriptor
	// Layers are the builder's names of the unpacked layers, the lowest first.
	// "" is one of which there is only the blob.
	Layers []string
}

// Builds is the store as a builder needs it.
type Builds struct{ *Store }

// Depot is where a builder keeps blobs and layers beside those of images.
func (s Builds) Depot() depot.Shared { return depot.Shared{Depot: s.depot} }

// Records are the names of images and what they point to.
func (s Builds) Records() []images.Image { return s.view.Load().records }

// FindRecord returns what the name of an image in its long form points to; a
// name of the hub that is an image's ID stands for that image.
func (s Builds) FindRecord(long string) (images.Image, error) {
	v := s.view.Load()
	text, _ := name.Familiar(long)
	img, record, err := v.find(text)
	if errdefs.IsNotFound(err) {
		if hex, isID := name.AsID(strings.TrimSuffix(text, ":latest")); isID {
			img, err = v.findID(text, hex)
		}
	}
	if err != nil {
		return images.Image{}, err
	}
	return images.Image{Name: long, Target: v.reading(img, record).Target, CreatedAt: img.Created, UpdatedAt: img.Created}, nil
}

// Enter names an image that a builder made and returns its ID. What the builder
// has unpacked is not unpacked again.
func (s Builds) Enter(ctx context.Context, m Made) (digest.Digest, error) {
	records := make([]string, 0, len(m.Names))
	for _, text := range m.Names {
		named, err := name.ParseTag(text)
		if err != nil {
			return "", err
		}
		records = append(records, named.String())
	}
	if len(records) == 0 {
		records = []string{name.Dangling + m.Target.Digest.String()}
	}
	ctx, done, err := s.depot.Lease(s.depot.Scope(ctx))
	if err != nil {
		return "", err
	}
	id, err := s.enterMade(ctx, records, m)
	done(err)
	s.room.Kick()
	return id, err
}

func (s Builds) enterMade(ctx context.Context, records []string, m Made) (digest.Digest, error) {
	if here, err := s.depot.HoldBlob(ctx, m.Target.Digest); err != nil || !here {
		return "", fmt.Errorf("enter image %s: its manifest is missing (%w)", m.Target.Digest, errOr(err, errdefs.ErrNotFound))
	}
	r := manifest.Reading{Target: manifest.Bare(m.Target)}
	p, err := manifest.Read(ctx, s.depot, r)
	if err == nil {
		err = p.Check()
	}
	if err == nil {
		var adopted []string
		adopted, err = s.adoptLayers(ctx, p, m.Layers)
		err = errors.Join(err, depot.Flusher{Depot: s.depot}.Mark(ctx, adopted))
	}
	if err == nil {
		err = s.install.Install(ctx, p, nil, nil)
	}
	if err == nil {
		err = manifest.Adopt(ctx, s.depot, m.Target, p)
	}
	if err != nil {
		return "", fmt.Errorf("enter image: %w", err)
	}
	set := map[string]manifest.Reading{}
	for _, record := range records {
		set[record] = r
	}
	return p.Manifest.Config.Digest, s.setNames(ctx, set)
}

// adoptLayers makes the builder's unpacked layers those of the image, from the
// lowest up to the first that is not there or lies above something else, and
// lists the new chains.
func (s Builds) adoptLayers(ctx context.Context, p *manifest.Image, layers []string) (adopted []string, err error) {
	parent := ""
	for i := range p.Manifest.Layers {
		chain := p.Chain(i + 1)
		here, err := s.depot.HoldChain(ctx, chain)
		if err != nil {
			return adopted, err
		}
		if !here {
			if i >= len(layers) || layers[i] == "" {
				return adopted, nil
			}
			err := s.Depot().Alias(ctx, chain, parent, layers[i])
			if errdefs.IsNotFound(err) || errdefs.IsFailedPrecondition(err) {
				return adopted, nil
			}
			if err != nil {
				return adopted, err
			}
			adopted = append(adopted, chain)
		}
		parent = chain
	}
	return adopted, nil
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
