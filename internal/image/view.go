package image

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/name"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/opencontainers/go-digest"
)

// view is what the store holds, as of one moment; it never changes.
type view struct {
	records []images.Image    // sorted by name
	byName  map[string]*Image // record → image
	byID    map[digest.Digest]*Image
	targets map[digest.Digest]*Image // manifest or index → image
	known   map[string]Image         // what was read, without names
	images  []*Image                 // newest first
	broken  map[string]error         // records whose blobs cannot be read
}

// catalogue is the names of the store's images, and what is known of these.
type catalogue struct {
	depot *depot.Depot
	names images.Store

	// change is held while a name changes, until view and index.json agree.
	change sync.Mutex
	view   atomic.Pointer[view]
}

// refresh reads the names anew, swaps the view and rewrites index.json. The
// caller holds change, or is Open.
func (s *catalogue) refresh(ctx context.Context) error {
	records, err := s.names.List(ctx)
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	slices.SortFunc(records, func(a, b images.Image) int { return cmp.Compare(a.Name, b.Name) })
	v := &view{
		records: records, byName: map[string]*Image{}, byID: map[digest.Digest]*Image{},
		targets: map[digest.Digest]*Image{}, known: map[string]Image{}, broken: map[string]error{},
	}
	old := s.view.Load()
	for _, r := range records {
		img, err := s.describe(ctx, r, old)
		if err != nil {
			s.depot.Log.Warn("read image; remove it and pull it again", "image", r.Name, "error", err)
			v.broken[r.Name] = err
			continue
		}
		v.known[readingOf(r).Key()] = img
		v.add(r, img)
	}
	for _, img := range v.byID {
		v.images = append(v.images, img)
	}
	slices.SortFunc(v.images, func(a, b *Image) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	if err := s.writeIndex(v); err != nil {
		return err
	}
	s.view.Store(v)
	return nil
}

// describe returns the image of a record without its names.
func (s *catalogue) describe(ctx context.Context, r images.Image, old *view) (Image, error) {
	if old != nil {
		if img, ok := old.known[readingOf(r).Key()]; ok && !img.packed {
			return img, nil
		}
	}
	p, err := manifest.Read(ctx, s.depot, readingOf(r))
	if err != nil {
		return Image{}, err
	}
	img := Image{
		ID: p.Manifest.Config.Digest, Target: r.Target, Manifest: manifest.Bare(p.Desc), Author: p.Config.Author,
		Platform: p.Config.Platform(), Config: p.Config.Config,
		Layers: p.Config.RootFS.DiffIDs, History: p.Config.History,
	}
	if img.Config == nil {
		img.Config = &container.Config{}
	}
	if p.Config.Created != nil {
		img.Created = *p.Config.Created
	}
	if img.listed, err = manifest.Listed(ctx, s.depot, readingOf(r)); err != nil {
		s.depot.Log.Warn("list image in index.json as it came", "image", r.Name, "error", err)
		img.listed = manifest.Bare(r.Target)
	}
	img.LayerBytes, img.packed, err = s.bytes(ctx, p)
	for _, n := range img.LayerBytes {
		img.Bytes += n
	}
	return img, err
}

// bytes are the sizes of the unpacked layers, or of the blobs.
func (s *catalogue) bytes(ctx context.Context, p *manifest.Image) (sizes []int64, isPacked bool, err error) {
	var unpacked, packed []int64
	for i, l := range p.Manifest.Layers {
		packed = append(packed, l.Size)
		usage, err := s.depot.Layers.Usage(ctx, p.Chain(i+1))
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, false, fmt.Errorf("measure layer: %w", err)
		}
		unpacked = append(unpacked, usage.Size)
	}
	if len(unpacked) == len(packed) {
		return unpacked, false, nil
	}
	return packed, true, nil
}

func (v *view) add(r images.Image, img Image) {
	known, ok := v.byID[img.ID]
	if !ok {
		known = &img
		v.byID[img.ID] = known
	}
	v.byName[r.Name] = known
	v.targets[r.Target.Digest] = known
	text, tagged := name.Familiar(r.Name)
	if text == "" {
		return
	}
	if tagged {
		known.Tags = append(known.Tags, text)
	}
	repoDigest := name.Repository(r.Name) + "@" + r.Target.Digest.String()
	if !slices.Contains(known.Digests, repoDigest) {
		known.Digests = append(known.Digests, repoDigest)
	}
}

// find returns the image that ref names and the record that it named, which is
// "" for an ID.
func (v *view) find(ref string) (img *Image, record string, err error) {
	named, nameErr := name.Parse(ref)
	if nameErr == nil {
		if img, ok := v.byName[named.String()]; ok {
			return img, named.String(), nil
		}
		if err := v.broken[named.String()]; err != nil {
			return nil, named.String(), fmt.Errorf("read image %s (remove it and pull it again): %w", ref, err)
		}
		if img := v.findDigest(named); img != nil {
			return img, "", nil
		}
	}
	hex, isID := name.AsID(ref)
	if !isID {
		if nameErr != nil {
			return nil, "", nameErr
		}
		return nil, "", noSuchImage(reference.FamiliarString(named))
	}
	img, err = v.findID(ref, hex)
	return img, "", err
}

// findDigest finds name@digest for any image of that repository.
func (v *view) findDigest(named reference.Named) *Image {
	d, ok := named.(reference.Digested)
	if !ok {
		return nil
	}
	img := v.targets[d.Digest()]
	if img == nil {
		img = v.byID[d.Digest()]
	}
	if img == nil {
		return nil
	}
	for _, have := range img.Digests {
		if strings.HasPrefix(have, reference.FamiliarName(named)+"@") {
			return img
		}
	}
	return nil
}

func (v *view) findID(ref, hex string) (*Image, error) {
	if len(hex) == 64 {
		d := digest.NewDigestFromEncoded(digest.SHA256, hex)
		if img, ok := v.byID[d]; ok {
			return img, nil
		}
		if img, ok := v.targets[d]; ok {
			return img, nil
		}
		return nil, noSuchImage(ref)
	}
	var found *Image
	for _, img := range v.images {
		if !strings.HasPrefix(img.ID.Encoded(), hex) && !strings.HasPrefix(img.Target.Digest.Encoded(), hex) {
			continue
		}
		if found != nil && found != img {
			return nil, invalid("image ID prefix %q is ambiguous; give more of it", ref)
		}
		found = img
	}
	if found == nil {
		return nil, noSuchImage(ref)
	}
	return found, nil
}

// namesOf lists the records of an image.
func (v *view) namesOf(id digest.Digest) []images.Image {
	var records []images.Image
	for _, r := range v.records {
		if img := v.byName[r.Name]; img != nil && img.ID == id {
			records = append(records, r)
		}
	}
	return records
}

// Get returns the image of a name, tag, digest, or full or short ID.
func (s *catalogue) Get(_ context.Context, ref string) (Image, error) {
	v := s.view.Load()
	if v.isHost(ref) {
		return hostImage(), nil
	}
	img, _, err := v.find(ref)
	if err != nil {
		return Image{}, err
	}
	return img.clone(), nil
}

// For refuses an image that is not for a platform, such as linux/arm64; "" is
// any. NotFound, in the words of an image that is not there: clients pull it then.
func (img *Image) For(platform string) error {
	if platform == "" || img.Platform.Architecture == "" {
		return nil
	}
	want, err := manifest.ParsePlatform(platform)
	if err != nil || want.Match(img.Platform) {
		return err
	}
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("No such image for %s: the one here is for %s", platform, platforms.Format(img.Platform)))
}

// clone is a copy that the caller may change.
func (img *Image) clone() Image {
	c := *img
	c.Tags, c.Digests = slices.Clone(c.Tags), slices.Clone(c.Digests)
	cc := *img.Config
	cc.Env, cc.Cmd, cc.Entrypoint = slices.Clone(cc.Env), slices.Clone(cc.Cmd), slices.Clone(cc.Entrypoint)
	cc.OnBuild, cc.Shell = slices.Clone(cc.OnBuild), slices.Clone(cc.Shell)
	cc.Labels, cc.Volumes, cc.ExposedPorts = maps.Clone(cc.Labels), maps.Clone(cc.Volumes), maps.Clone(cc.ExposedPorts)
	if cc.Healthcheck != nil {
		h := *cc.Healthcheck
		h.Test = slices.Clone(h.Test)
		cc.Healthcheck = &h
	}
	c.Config = &cc
	return c
}

// List returns all images, the newest first and "host" last.
func (s *catalogue) List(context.Context) ([]Image, error) {
	v := s.view.Load()
	list := make([]Image, 0, len(v.images)+1)
	for _, img := range v.images {
		list = append(list, img.clone())
	}
	return append(list, hostImage()), nil
}

// reading is what a reference pushes, saves or tags.
func (v *view) reading(img *Image, record string) manifest.Reading {
	for _, r := range v.records {
		if r.Name == record {
			return readingOf(r)
		}
	}
	return manifest.Reading{Target: img.Target, Manifest: img.Manifest.Digest}
}

func readingOf(r images.Image) manifest.Reading {
	return manifest.Reading{Target: manifest.Bare(r.Target), Manifest: digest.Digest(r.Labels[manifestLabel])}
}

// lacks says if a pull would change what named points to.
func (v *view) lacks(named reference.Named, want manifest.Reading) bool {
	for _, r := range v.records {
		if r.Name == named.String() {
			have := readingOf(r)
			return have.Target.Digest != want.Target.Digest || have.Manifest != "" && have.Manifest != want.Manifest
		}
	}
	return true
}
