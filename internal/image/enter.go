package image

import (
	"cmp"
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
	if id, ok := s.entered(records, m.Target); ok {
		return id, nil
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

// entered is the ID of an image that has these names already.
func (s Builds) entered(records []string, target ocispec.Descriptor) (digest.Digest, bool) {
	v := s.view.Load()
	img := v.targets[target.Digest]
	if img == nil {
		return "", false
	}
	for _, record := range records {
		if named := v.byName[record]; named != img {
			return "", false
		}
	}
	return img.ID, true
}

func (s Builds) enterMade(ctx context.Context, records []string, m Made) (digest.Digest, error) {
	if here, err := s.depot.HoldBlob(ctx, m.Target.Digest); err != nil || !here {
		return "", fmt.Errorf("enter image %s: its manifest is missing (%w)", m.Target.Digest, cmp.Or[error](err, errdefs.ErrNotFound))
	}
	r := manifest.Reading{Target: manifest.Bare(m.Target)}
	p, err := manifest.Read(ctx, s.depot, r)
	if err == nil {
		err = p.Check()
	}
	whole := false
	if err == nil {
		var adopted []string
		err = s.Depot().Together(ctx, func(ctx context.Context) (err error) {
			whole, adopted, err = s.adoptLayers(ctx, p, m.Layers)
			return err
		})
		if len(adopted) > 0 {
			err = errors.Join(err, depot.Flusher{Depot: s.depot}.Mark(ctx, adopted))
		}
	}
	if err == nil && !whole {
		err = s.install.Install(ctx, p, nil, nil)
	}
	if err == nil {
		err = s.Depot().Together(ctx, func(ctx context.Context) error { return manifest.Adopt(ctx, s.depot, m.Target, p) })
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
// lists the new chains. whole is whether all are there now, and the blobs: the
// builder holds these meanwhile.
func (s Builds) adoptLayers(ctx context.Context, p *manifest.Image, layers []string) (whole bool, adopted []string, err error) {
	n := len(p.Manifest.Layers)
	have := n // the lowest chains that are there
	for ; have > 0; have-- {
		if _, err := s.depot.Layers.Stat(ctx, p.Chain(have)); errdefs.IsNotFound(err) {
			continue
		} else if err != nil {
			return false, nil, fmt.Errorf("look up layers: %w", err)
		}
		if here, err := s.depot.HoldChain(ctx, p.Chain(have)); err != nil {
			return false, adopted, err
		} else if here {
			break
		}
	}
	parent := ""
	if have > 0 {
		parent = p.Chain(have)
	}
	for i := have; i < n; i++ {
		if i >= len(layers) || layers[i] == "" {
			return false, adopted, nil
		}
		err := s.Depot().Alias(ctx, p.Chain(i+1), parent, layers[i])
		if errdefs.IsNotFound(err) || errdefs.IsFailedPrecondition(err) {
			return false, adopted, nil
		}
		if err != nil {
			return false, adopted, err
		}
		parent = p.Chain(i + 1)
		adopted = append(adopted, parent)
	}
	for _, l := range p.Manifest.Layers {
		if _, err := s.depot.Blobs.Info(ctx, l.Digest); err != nil {
			return false, adopted, nil // Install says what is wrong
		}
	}
	return true, adopted, nil
}
