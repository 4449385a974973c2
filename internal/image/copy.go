package image

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/berth-containers/berth/internal/image/install"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/name"
	"github.com/berth-containers/berth/internal/image/progress"
	"github.com/berth-containers/berth/internal/image/transfer"
	"github.com/berth-containers/berth/internal/snapshot/layer"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// copier brings images from one kind of place to another.
type copier struct {
	examiner
	remote *distribution.Client
}

// The kinds of places that an image is copied from or to.
const (
	InRegistry = "registry"
	InStore    = "store"
	InArchive  = "archive" // a tar that is read or written as it comes
)

// Place is where an image is or goes.
type Place struct {
	Kind string
	// Ref is the image's name there. Of an archive it may be "": that of the only
	// image in it, or the name that it had.
	Ref         string
	Credentials Credentials      // of a registry
	Reader      io.Reader        // an archive that is the source
	Writer      func() io.Writer // of an archive that is to be made, once it is sure that it can be
}

// Copy copies an image as it is: all digests stay. Between registries all
// platforms go, unless one is asked for; elsewhere one, "" being this machine's.
// What passes through is not kept here. It returns the digest of the copy.
func (s copier) Copy(ctx context.Context, from, to Place, platform string, tell Progress) (digest.Digest, error) {
	if _, err := manifest.ParsePlatform(platform); err != nil {
		return "", err
	}
	ctx, done, err := s.depot.Lease(s.depot.Scope(ctx))
	if err != nil {
		return "", err
	}
	d, err := s.copy(ctx, from, to, platform, progress.To(tell))
	done(err)
	if err == nil {
		s.depot.CollectLater()
	}
	return d, err
}

// source is an image that was found, and whence what is not here yet comes.
type source struct {
	manifest.Reading
	open  install.Opener
	blobs []ocispec.Descriptor // to be fetched for a registry, if it is whole
	name  string               // the record, if it has one
}

func (s copier) copy(ctx context.Context, from, to Place, platform string, tell *progress.Teller) (digest.Digest, error) {
	var named reference.Named
	var err error
	if to.Kind != InArchive || to.Ref != "" {
		if named, err = name.ParseNew(to.Ref); err != nil {
			return "", err
		}
	}
	src, err := s.find(ctx, from, platform, to.Kind == InRegistry && platform == "")
	if err != nil {
		return "", fmt.Errorf("copy: %w", err)
	}
	if to.Kind == InStore {
		return s.toStore(ctx, src, named, tell)
	}
	blobs := src.blobs
	if blobs == nil {
		p, err := manifest.Read(ctx, s.depot, src.Reading)
		if err != nil {
			return "", fmt.Errorf("copy: %w", err)
		}
		blobs = p.Manifest.Layers
	}
	if err := s.unpacker.Fetch(ctx, blobs, src.open, tell); err != nil {
		return "", fmt.Errorf("copy: %w", err)
	}
	if to.Kind == InRegistry {
		return s.toRegistry(ctx, src, named, to.Credentials, tell)
	}
	if named != nil {
		src.name = named.String()
	}
	return s.toArchive(ctx, src, to.Writer())
}

func (s copier) find(ctx context.Context, from Place, platform string, whole bool) (source, error) {
	switch from.Kind {
	case InRegistry:
		return s.fromRegistry(ctx, from, platform, whole)
	case InStore:
		return s.fromStore(ctx, from.Ref, platform)
	}
	return s.fromArchive(ctx, from, platform)
}

func (s copier) fromRegistry(ctx context.Context, from Place, platform string, whole bool) (source, error) {
	named, err := name.Parse(from.Ref)
	if err != nil {
		return source{}, err
	}
	repo, err := s.remote.Repository(ctx, named, distribution.Credentials(from.Credentials))
	if err != nil {
		return source{}, err
	}
	target, err := repo.Resolve(ctx)
	if err != nil {
		return source{}, err
	}
	src := source{Reading: manifest.Reading{Target: target}, open: transfer.Opener(repo), name: named.String()}
	if whole {
		src.blobs, err = transfer.Whole(ctx, s.depot, repo, target)
		return src, err
	}
	p, err := transfer.Manifest(ctx, s.depot, repo, target, platform)
	if err != nil {
		return source{}, err
	}
	if platform != "" {
		src.Target = manifest.Bare(p.Desc)
	}
	src.Manifest = p.Desc.Digest
	return src, nil
}

func (s copier) fromStore(ctx context.Context, ref, platform string) (source, error) {
	v := s.view.Load()
	if v.isHost(ref) {
		return source{}, invalid("the image %q is the running system and cannot be copied", HostName)
	}
	img, record, err := v.find(ref)
	if err != nil {
		return source{}, err
	}
	src := source{name: record}
	if src.Reading, err = s.choose(ctx, v.reading(img, record), platform); err != nil {
		return source{}, err
	}
	here, err := s.depot.HoldBlob(ctx, v.reading(img, record).Target.Digest)
	if err == nil && !here {
		err = noSuchImage(ref)
	}
	return src, err
}

// fromArchive reads an archive into the store; nothing in it gets a name.
func (s copier) fromArchive(ctx context.Context, from Place, platform string) (source, error) {
	plain, err := layer.Decompress(from.Reader)
	if err != nil {
		return source{}, err
	}
	defer plain.Close()
	desc, err := archive.ImportIndex(ctx, &passing{Store: s.depot.Blobs, prefix: "copy-" + rand.Text() + "-"}, plain)
	if errors.Is(err, tar.ErrHeader) {
		return source{}, notTar()
	}
	if err != nil {
		return source{}, loadError(err)
	}
	var index ocispec.Index
	if err := s.depot.ReadJSON(ctx, desc, manifest.MaxBytes, &index); err != nil {
		return source{}, loadError(err)
	}
	d, record, err := pick(index, from.Ref)
	if err != nil {
		return source{}, err
	}
	src := source{name: record}
	if src.Reading, err = s.choose(ctx, manifest.Reading{Target: manifest.Bare(d)}, platform); err != nil {
		return source{}, err
	}
	return src, nil
}

// passing is a content store for one archive, whose files are not mixed up with
// the equally named ones of another.
type passing struct {
	content.Store
	prefix string
}

func (p *passing) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	return p.Store.Writer(ctx, append(opts, content.WithRef(p.prefix+o.Ref))...)
}

// pick finds the image of an archive that has the name ref, or the only one.
func pick(index ocispec.Index, ref string) (ocispec.Descriptor, string, error) {
	var names []string
	var found []ocispec.Descriptor
	var records []string
	for _, d := range index.Manifests {
		if manifest.IsAttestation(&d) || !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType) {
			continue
		}
		record, shown := d.Annotations[images.AnnotationImageName], d.Annotations[ocispec.AnnotationRefName]
		if record == "" && strings.ContainsAny(shown, ":/@") {
			record = shown
		}
		names = append(names, firstOf(familiar(record), shown, d.Digest.String()))
		if ref == "" || ref == shown || ref == d.Digest.String() || sameName(ref, record) {
			found, records = append(found, d), append(records, record)
		}
	}
	for i := 1; i < len(found); i++ {
		if found[i].Digest != found[0].Digest {
			return ocispec.Descriptor{}, "", invalid("the archive has %d images; name one after a colon: %s", len(names), strings.Join(names, ", "))
		}
	}
	if len(found) == 0 {
		if len(names) == 0 {
			return ocispec.Descriptor{}, "", invalid("the archive has no image")
		}
		return ocispec.Descriptor{}, "", invalid("the archive has no image %q; it has %s", ref, strings.Join(names, ", "))
	}
	return found[0], records[0], nil
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func sameName(a, b string) bool {
	one, err := name.Parse(a)
	if err != nil || b == "" {
		return false
	}
	two, err := name.Parse(b)
	return err == nil && one.String() == two.String()
}

func (s copier) toStore(ctx context.Context, src source, named reference.Named, tell *progress.Teller) (digest.Digest, error) {
	if _, err := name.ParseTag(named.String()); err != nil {
		return "", err
	}
	p, err := manifest.Read(ctx, s.depot, src.Reading)
	if err == nil {
		err = p.Check()
	}
	if err == nil {
		err = s.unpacker.Install(ctx, p, src.open, tell)
	}
	if err == nil {
		err = manifest.Adopt(ctx, s.depot, src.Target, p)
	}
	if err != nil {
		return "", fmt.Errorf("copy: %w", err)
	}
	return src.Target.Digest, s.setNames(ctx, map[string]manifest.Reading{named.String(): {Target: src.Target, Manifest: p.Desc.Digest}})
}

func (s copier) toRegistry(ctx context.Context, src source, named reference.Named, creds Credentials, tell *progress.Teller) (digest.Digest, error) {
	set, err := transfer.List(ctx, s.depot, src.Reading)
	if err != nil {
		return "", fmt.Errorf("copy: %w", err)
	}
	repo, err := s.remote.Repository(ctx, named, distribution.Credentials(creds))
	if err != nil {
		return "", err
	}
	return set.Root.Digest, set.Push(ctx, repo, s.sources(ctx, s.view.Load(), named, set), tell)
}

func (s copier) toArchive(ctx context.Context, src source, w io.Writer) (digest.Digest, error) {
	p, err := manifest.Read(ctx, s.depot, src.Reading)
	if err != nil {
		return "", fmt.Errorf("copy: %w", err)
	}
	opts := []archive.ExportOpt{exportOf(p, src.name)}
	if err := exportTo(ctx, s.depot.Blobs, w, opts); err != nil {
		return "", fmt.Errorf("copy: %w", err)
	}
	return p.Desc.Digest, nil
}
