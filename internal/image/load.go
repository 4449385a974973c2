package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/berth-containers/berth/internal/image/install"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/name"
	"github.com/berth-containers/berth/internal/image/progress"
	"github.com/berth-containers/berth/internal/snapshot/layer"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Load reads images from a docker-archive or an OCI layout in a tar, which may
// be packed with gzip or zstd, and returns their names, or the ID of one that
// has none. Layers stay packed, or not, as they came. Either every image of
// the archive appears or none.
func (s *Store) Load(ctx context.Context, r io.Reader, tell Progress) ([]string, error) {
	return s.LoadFor(ctx, "", r, tell)
}

// LoadFor is Load of the images for one platform; each must be there for it.
func (s *Store) LoadFor(ctx context.Context, platform string, r io.Reader, tell Progress) ([]string, error) {
	ctx, done, err := s.depot.Lease(s.depot.Scope(ctx))
	if err != nil {
		return nil, err
	}
	ahead := s.install.Ahead(ctx)
	defer ahead.Close()
	names, err := s.load(ctx, ahead, platform, r, progress.To(tell))
	done(err)
	s.room.Kick()
	if err == nil && ahead.Left() {
		s.depot.CollectLater()
	}
	return names, err
}

func (s *Store) load(ctx context.Context, ahead *install.Ahead, platform string, r io.Reader, tell *progress.Teller) ([]string, error) {
	plain, err := layer.Decompress(r)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer plain.Close()
	desc, err := archive.ImportIndex(ctx, ahead, plain)
	if waitErr := ahead.Wait(); err == nil {
		err = waitErr
	}
	if errors.Is(err, tar.ErrHeader) {
		return nil, notTar()
	}
	if err != nil {
		return nil, loadError(err)
	}
	var index ocispec.Index
	if err := s.depot.ReadJSON(ctx, desc, manifest.MaxBytes, &index); err != nil {
		return nil, loadError(err)
	}
	targets := map[string]manifest.Reading{}
	var names []string
	for _, d := range index.Manifests {
		if manifest.IsAttestation(&d) || !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType) {
			continue
		}
		reading := manifest.Reading{Target: d}
		if platform != "" {
			chosen, err := s.choose(ctx, reading, platform)
			if err != nil {
				return nil, fmt.Errorf("load: %w", err)
			}
			reading.Manifest = chosen.Manifest
		}
		record, shown, err := s.loadOne(ctx, ahead.Installer(), reading, d, tell)
		if err != nil {
			return nil, loadError(err)
		}
		targets[record] = reading
		if !slices.Contains(names, shown) {
			names = append(names, shown)
		}
	}
	if len(targets) == 0 {
		return nil, invalid("the archive has no image; it must be one made by save, or the tar of an OCI layout (a root filesystem's tar is for import)")
	}
	return names, s.setNames(ctx, targets)
}

// loadOne checks and unpacks an image whose blobs were stored.
func (s *Store) loadOne(ctx context.Context, install *install.Installer, r manifest.Reading, d ocispec.Descriptor, tell *progress.Teller) (record, shown string, err error) {
	p, err := manifest.Read(ctx, s.depot, r)
	if err != nil {
		return "", "", err
	}
	if record, shown, err = loadName(d, p); err != nil {
		return "", "", err
	}
	if err := p.Check(); err != nil {
		return "", "", err
	}
	if err := install.Install(ctx, p, nil, tell); err != nil {
		return "", "", err
	}
	return record, shown, manifest.Adopt(ctx, s.depot, d, p)
}

// loadName is the record and the shown name of an image in an archive. A bare
// tag, as OCI layouts may have it, is no name.
func loadName(d ocispec.Descriptor, p *manifest.Image) (record, shown string, err error) {
	text := d.Annotations[images.AnnotationImageName]
	if ref := d.Annotations[ocispec.AnnotationRefName]; text == "" && strings.ContainsAny(ref, ":/@") {
		text = ref
	}
	if text == "" {
		return name.Dangling + d.Digest.String(), p.Manifest.Config.Digest.String(), nil
	}
	named, err := name.ParseNew(text)
	if err != nil {
		return "", "", err
	}
	return named.String(), reference.FamiliarString(named), nil
}

func loadError(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return invalid("the archive is truncated (%v)", err)
	case errdefs.IsNotFound(err):
		return invalid("the archive lacks, or has with other content, a blob that it lists: %v", err)
	case strings.Contains(err.Error(), "unrecognized image format"):
		return invalid("the archive has neither manifest.json nor index.json; it must be one made by save, or the tar of an OCI layout (a root filesystem's tar is for import)")
	}
	return fmt.Errorf("load: %w", err)
}

func notTar() error {
	return invalid("the file is no tar archive (plain, or packed with gzip or zstd)")
}
