package install

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/snapshot/layer"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// DiffID is the digest of what was unpacked.
func (l Staged) DiffID() digest.Digest { return l.result.DiffID }

// Ingest stores a layer of which nothing is known, packed as it comes, and
// unpacks it.
func (s *Installer) Ingest(ctx context.Context, r io.Reader) (Staged, ocispec.Descriptor, error) {
	kind, r, err := layer.Peek(r)
	if err != nil {
		return Staged{}, ocispec.Descriptor{}, err
	}
	l, err := s.newLayer(ctx)
	if err != nil {
		return Staged{}, ocispec.Descriptor{}, err
	}
	desc, err := s.ingest(ctx, r, &l)
	desc.MediaType = map[layer.Compression]string{
		layer.Plain: ocispec.MediaTypeImageLayer, layer.Gzip: ocispec.MediaTypeImageLayerGzip, layer.Zstd: ocispec.MediaTypeImageLayerZstd,
	}[kind]
	return l, desc, err
}

func (s *Installer) ingest(ctx context.Context, r io.Reader, l *Staged) (ocispec.Descriptor, error) {
	w, err := content.OpenWriter(ctx, s.Blobs, content.WithRef("import-"+rand.Text()))
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("open blob: %w", err)
	}
	defer w.Close()
	stop := steady(w)
	l.result, err = s.tee(ctx, w, r, l.dir)
	stop()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	st, err := w.Status()
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("store blob: %w", err)
	}
	desc := ocispec.Descriptor{Digest: w.Digest(), Size: st.Offset}
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return ocispec.Descriptor{}, fmt.Errorf("store blob: %w", err)
	}
	return desc, nil
}

// Place makes an ingested layer the top one of p's chain. Those below it are
// unpacked already.
func (s *Installer) Place(ctx context.Context, p *manifest.Image, l Staged) error {
	n := len(p.Manifest.Layers)
	chain := p.Chain(n)
	release, err := s.Flights.Take(ctx, chain)
	if err != nil {
		return err
	}
	defer release()
	here, err := s.HoldChain(ctx, chain)
	if here || err != nil {
		return err
	}
	chains, layers := make([]string, n), make([]Staged, n)
	for i := range chains {
		chains[i] = p.Chain(i + 1)
	}
	layers[n-1] = l
	return s.commit(ctx, p, chains, layers, n-1, nil)
}
