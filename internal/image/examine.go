package image

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/berth-containers/berth/internal/image/contents"
	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/install"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/name"
	"github.com/berth-containers/berth/internal/image/report"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// examiner looks into images.
type examiner struct {
	*catalogue
	unpacker *install.Installer
}

// open is an image whose unpacked layers stay as long as the caller's lease.
type open struct {
	*Image
	made  *manifest.Image
	chain string
	dirs  []string // the topmost first
}

// open finds an image and unpacks it if that was not done yet. ctx has a lease.
func (s examiner) open(ctx context.Context, ref string) (*open, error) {
	v := s.view.Load()
	if v.isHost(ref) {
		return nil, invalid("the image %q is the running system: it has no layers", HostName)
	}
	img, record, err := v.find(ref)
	if err != nil {
		return nil, err
	}
	r := v.reading(img, record)
	if r.Manifest == "" {
		r.Manifest = img.Manifest.Digest
	}
	if here, err := s.depot.HoldBlob(ctx, r.Target.Digest); err != nil || !here {
		return nil, firstError(err, noSuchImage(ref))
	}
	p, err := manifest.Read(ctx, s.depot, r)
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", ref, err)
	}
	o := &open{Image: img, made: p, chain: p.Chain(len(p.Config.RootFS.DiffIDs))}
	if o.chain == "" {
		o.chain = depot.EmptyChain
		o.dirs, err = s.depot.ChainDirs(ctx, o.chain)
		return o, err
	}
	here, err := s.depot.HoldChain(ctx, o.chain)
	if err == nil && !here {
		err = s.unpack(ctx, r, p)
	}
	if err == nil {
		o.dirs, err = s.depot.ChainDirs(ctx, o.chain)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack image %s: %w", ref, err)
	}
	return o, nil
}

func (s examiner) unpack(ctx context.Context, r manifest.Reading, p *manifest.Image) error {
	if err := p.Check(); err != nil {
		return err
	}
	if err := s.unpacker.Install(ctx, p, nil, nil); err != nil {
		return err
	}
	return manifest.Adopt(ctx, s.depot, r.Target, p)
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Layers tells what each layer of an image does.
func (s examiner) Layers(ctx context.Context, ref string) (report.Tree, error) {
	ctx, done, err := s.depot.Lease(s.depot.Scope(ctx))
	if err != nil {
		return report.Tree{}, err
	}
	defer done(nil)
	o, err := s.open(ctx, ref)
	if err != nil {
		return report.Tree{}, err
	}
	tree, layers, err := contents.Open(ctx, o.layers())
	if err != nil {
		return report.Tree{}, fmt.Errorf("read layers of %s: %w", ref, err)
	}
	tree.Close()
	t := report.Tree{ID: o.ID.String(), Names: o.Tags, Layers: []report.Layer{}}
	steps := o.steps()
	for i, l := range layers {
		packed := o.made.Manifest.Layers[i]
		one := report.Layer{
			Digest: packed.Digest.String(), DiffID: o.made.Config.RootFS.DiffIDs[i].String(), PackedBytes: packed.Size,
			Bytes: l.Bytes, Added: l.Added, Changed: l.Changed, Deleted: l.Deleted, WastedBytes: l.Wasted,
		}
		if i < len(steps) {
			one.CreatedBy, one.Created = steps[i].CreatedBy, steps[i].Created
		}
		t.Layers = append(t.Layers, one)
		t.Bytes += l.Bytes
		t.WastedBytes += l.Wasted
	}
	return t, nil
}

// layers are the directories of the image's own layers.
func (o *open) layers() []string {
	if o.chain == depot.EmptyChain {
		return nil
	}
	return o.dirs
}

// steps are the entries of the history that made a layer.
func (o *open) steps() []ocispec.History {
	var made []ocispec.History
	for _, h := range o.made.Config.History {
		if !h.EmptyLayer {
			made = append(made, h)
		}
	}
	return made
}

// Diff tells what the root filesystem of the image b has otherwise than that of a.
func (s examiner) Diff(ctx context.Context, a, b string, tell func(report.Difference) error) error {
	ctx, done, err := s.depot.Lease(s.depot.Scope(ctx))
	if err != nil {
		return err
	}
	defer done(nil)
	var trees [2]*contents.Tree
	for i, ref := range []string{a, b} {
		o, err := s.open(ctx, ref)
		if err != nil {
			return err
		}
		if trees[i], _, err = contents.Open(ctx, o.layers()); err != nil {
			return fmt.Errorf("read layers of %s: %w", ref, err)
		}
		defer trees[i].Close()
	}
	return contents.Diff(ctx, trees[0], trees[1], tell)
}

// Flatten makes an image of one layer that has the files and the configuration
// of another one, under a name, or without one. The same image gives the same.
func (s examiner) Flatten(ctx context.Context, ref, fresh string) (report.Flattened, error) {
	var record string
	if fresh != "" {
		named, err := name.ParseTag(fresh)
		if err != nil {
			return report.Flattened{}, err
		}
		record, fresh = named.String(), familiar(named.String())
	}
	ctx, done, err := s.depot.Lease(s.depot.Scope(ctx))
	if err != nil {
		return report.Flattened{}, err
	}
	f, err := s.flatten(ctx, ref, record)
	done(err)
	f.Name = fresh
	return f, err
}

func familiar(record string) string {
	text, _ := name.Familiar(record)
	return text
}

func (s examiner) flatten(ctx context.Context, ref, record string) (report.Flattened, error) {
	o, err := s.open(ctx, ref)
	if err != nil {
		return report.Flattened{}, err
	}
	tree, _, err := contents.Open(ctx, o.dirs)
	if err != nil {
		return report.Flattened{}, fmt.Errorf("read layers of %s: %w", ref, err)
	}
	defer tree.Close()
	l, desc, err := s.ingest(ctx, tree)
	if err != nil {
		return report.Flattened{}, fmt.Errorf("flatten %s: %w", ref, err)
	}
	config := o.made.Config
	config.RootFS.DiffIDs = []digest.Digest{l.DiffID()}
	config.History = nil
	for _, h := range o.made.Config.History {
		h.EmptyLayer = true
		config.History = append(config.History, h)
	}
	config.History = append(config.History, ocispec.History{Created: config.Created, CreatedBy: "berth image flatten",
		Comment: fmt.Sprintf("%d layers of %s", len(o.made.Manifest.Layers), o.ID)})
	p, err := manifest.Write(ctx, s.depot, &config, []ocispec.Descriptor{desc})
	if err != nil {
		return report.Flattened{}, err
	}
	if err := s.unpacker.Place(ctx, p, l); err != nil {
		return report.Flattened{}, err
	}
	if err := manifest.Adopt(ctx, s.depot, p.Desc, p); err != nil {
		return report.Flattened{}, err
	}
	if record == "" {
		record = name.Dangling + p.Desc.Digest.String()
	}
	if err := s.setNames(ctx, map[string]manifest.Reading{record: {Target: p.Desc}}); err != nil {
		return report.Flattened{}, err
	}
	now, err := s.Get(ctx, p.Manifest.Config.Digest.String())
	return report.Flattened{ID: now.ID.String(), Layers: len(o.made.Manifest.Layers), Before: o.Bytes, After: now.Bytes}, err
}

// ingest stores a tree as a layer.
func (s examiner) ingest(ctx context.Context, tree *contents.Tree) (install.Staged, ocispec.Descriptor, error) {
	r, w := io.Pipe()
	packed := make(chan struct{})
	go func() {
		defer close(packed)
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err == nil {
			err = tree.Pack(ctx, z)
		}
		if err == nil {
			err = z.Close()
		}
		w.CloseWithError(err)
	}()
	l, desc, err := s.unpacker.Ingest(ctx, r)
	r.Close()
	<-packed
	return l, desc, err
}

// What Raw returns.
const (
	RawTarget   = "target"   // the manifest or index that the name points to
	RawManifest = "manifest" // that of the image
	RawConfig   = "config"
)

// Raw returns what an image is made of, byte for byte, and its media type.
func (s examiner) Raw(ctx context.Context, ref, what string) (string, []byte, error) {
	ctx = s.depot.Scope(ctx)
	v := s.view.Load()
	if v.isHost(ref) {
		return "", nil, invalid("the image %q is the running system: it has no manifest", HostName)
	}
	img, record, err := v.find(ref)
	if err != nil {
		return "", nil, err
	}
	r := v.reading(img, record)
	desc := r.Target
	switch what {
	case "", RawTarget:
	case RawManifest, RawConfig:
		p, err := manifest.Read(ctx, s.depot, r)
		if err != nil {
			return "", nil, err
		}
		if desc = p.Desc; what == RawConfig {
			desc = p.Manifest.Config
		}
	default:
		return "", nil, invalid("%q is not %s, %s or %s", what, RawTarget, RawManifest, RawConfig)
	}
	b, err := s.depot.ReadBlob(ctx, desc, manifest.MaxConfigBytes)
	return desc.MediaType, b, err
}

// Blobs lists what an image is made of, each blob once: the layers, the
// configuration, the manifest and the index, if all of it is here.
func (s examiner) Blobs(ctx context.Context, ref string) ([]report.Blob, error) {
	ctx = s.depot.Scope(ctx)
	img, record, err := s.view.Load().find(ref)
	if err != nil {
		return nil, err
	}
	p, err := manifest.Read(ctx, s.depot, s.view.Load().reading(img, record))
	if err != nil {
		return nil, err
	}
	var blobs []report.Blob
	seen := map[digest.Digest]bool{}
	for _, d := range append(p.Manifest.Layers, p.Manifest.Config, p.Desc) {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			blobs = append(blobs, report.Blob{Digest: d.Digest.String(), Bytes: d.Size})
		}
	}
	return blobs, nil
}

// Missing tells which of blobs are not here.
func (s examiner) Missing(ctx context.Context, blobs []report.Blob) ([]report.Blob, error) {
	ctx = s.depot.Scope(ctx)
	missing := []report.Blob{}
	for _, b := range blobs {
		d, err := digest.Parse(b.Digest)
		if err != nil {
			return nil, invalid("digest %q: %v", b.Digest, err)
		}
		_, err = s.depot.Blobs.Info(ctx, d)
		if err == nil {
			_, err = os.Lstat(s.depot.BlobPath(d))
		}
		switch {
		case errdefs.IsNotFound(err), os.IsNotExist(err):
			missing = append(missing, b)
		case err != nil:
			return nil, fmt.Errorf("look up blob %s: %w", d, err)
		}
	}
	return missing, nil
}

// choose is the reading of an image for one platform, of those that are here.
func (s *catalogue) choose(ctx context.Context, r manifest.Reading, platform string) (manifest.Reading, error) {
	if platform == "" {
		return r, nil
	}
	want, err := manifest.ParsePlatform(platform)
	if err != nil {
		return r, err
	}
	desc := r.Target
	for depth := 0; images.IsIndexType(desc.MediaType) && depth <= manifest.MaxDepth; depth++ {
		var index ocispec.Index
		if err := s.depot.ReadJSON(ctx, desc, manifest.MaxBytes, &index); err != nil {
			return r, err
		}
		here := func(d ocispec.Descriptor) bool {
			_, err := s.depot.Blobs.Info(ctx, d.Digest)
			return err == nil
		}
		child, err := manifest.Choose(index, want, here)
		if err != nil {
			return r, fmt.Errorf("%w; it has %s", err, manifest.Platforms(index))
		}
		if !here(child) {
			return r, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("the image is not here for %s; pull it with --platform %s", platform, platform))
		}
		desc = child
	}
	r.Target, r.Manifest = manifest.Bare(desc), desc.Digest
	p, err := manifest.Read(ctx, s.depot, r)
	if err != nil {
		return r, err
	}
	if is := p.Config.Platform(); p.Config.Architecture != "" && !want.Match(is) {
		img := Image{Platform: is}
		return r, img.For(platform)
	}
	return r, nil
}
