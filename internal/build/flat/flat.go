// Package flat makes what was built one layer: the layers above the base, or all
// of them, become the difference between two trees, so that what a later step
// deleted is nowhere in the image. Settings and history stay; the steps that had
// a layer of their own are marked as empty ones.
//
// The layer is found again by a build that made the same layers. A crash leaves
// at most a blob that a lease of the build owns.
package flat

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/klauspost/compress/gzip"
	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	containerdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/util/progress"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Option is what an output says to be flat: "true" for one layer above the base,
// "all" for one layer.
const Option = "flat"

// Tools are what a layer is made with.
type Tools struct {
	Cache  cache.Manager
	Differ diff.Comparer
	Blobs  *containerdsnapshot.Store
	Leases *leaseutil.Manager
}

// New wraps an exporter of images.
func New(e exporter.Exporter, t Tools) exporter.Exporter { return &flattening{e, t} }

type flattening struct {
	exporter.Exporter
	tools Tools
}

// Resolve takes the option out of what the exporter is told.
func (f *flattening) Resolve(ctx context.Context, id int, attrs map[string]string) (exporter.ExporterInstance, error) {
	mode, asked := attrs[Option]
	attrs = maps.Clone(attrs)
	delete(attrs, Option)
	inner, err := f.Exporter.Resolve(ctx, id, attrs)
	if err != nil || !asked {
		return inner, err
	}
	switch mode {
	case "", "1", "true":
		return &instance{inner, f.tools, false}, nil
	case "all":
		return &instance{inner, f.tools, true}, nil
	case "0", "false":
		return inner, nil
	}
	return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s=%s: it is true (one layer above the base), all (one layer) or false", Option, mode))
}

type instance struct {
	exporter.ExporterInstance
	tools Tools
	all   bool
}

// Export flattens what was built and exports that.
func (i *instance) Export(ctx context.Context, src *exporter.Source, info exporter.ExportBuildInfo) (map[string]string, exporter.FinalizeFunc, exporter.DescriptorReference, error) {
	ctx, done, err := leaseutil.WithLease(ctx, i.tools.Leases, leaseutil.MakeTemporary)
	if err != nil {
		return nil, nil, nil, err
	}
	defer done(context.WithoutCancel(ctx))
	flat, release, err := i.flatten(ctx, src, session.NewGroup(info.SessionID))
	defer release()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("flatten: %w", err)
	}
	return i.ExporterInstance.Export(ctx, flat, info)
}

// flatten returns src with other refs, which release lets go of.
func (i *instance) flatten(ctx context.Context, src *exporter.Source, g session.Group) (_ *exporter.Source, release func(), err error) {
	var made []cache.ImmutableRef
	release = func() {
		for _, r := range made {
			_ = r.Release(context.WithoutCancel(ctx))
		}
	}
	flat := src.Clone()
	one := func(ref cache.ImmutableRef, suffix string) (cache.ImmutableRef, error) {
		if ref == nil {
			return nil, nil
		}
		flattened, err := i.one(ctx, ref, flat.Metadata, suffix, g)
		if err == nil && flattened != ref {
			made = append(made, flattened)
		}
		return flattened, err
	}
	if flat.Ref, err = one(src.Ref, ""); err != nil {
		return nil, release, err
	}
	for id, ref := range src.Refs {
		if flat.Refs[id], err = one(ref, "/"+id); err != nil {
			return nil, release, err
		}
	}
	return flat, release, nil
}

// one flattens one image and puts its new configuration into meta.
func (i *instance) one(ctx context.Context, ref cache.ImmutableRef, meta map[string][]byte, suffix string, g session.Group) (_ cache.ImmutableRef, err error) {
	base, err := readBase(meta, suffix)
	if err != nil {
		return nil, err
	}
	if i.all {
		base = ocispec.Image{}
	}
	chain := ref.LayerChain()
	defer func() { _ = chain.Release(context.WithoutCancel(ctx)) }()
	below := len(base.RootFS.DiffIDs)
	if below > len(chain) {
		return nil, fmt.Errorf("the base has %d layers, what was built only %d", below, len(chain))
	}
	if len(chain)-below < 2 {
		return ref, nil // it is one already
	}
	var parent cache.ImmutableRef
	if below > 0 {
		parent = chain[below-1]
	}
	done := progress.OneOff(ctx, fmt.Sprintf("flattening %d layers", len(chain)-below))
	desc, err := i.layer(ctx, ref, parent, g)
	if err := done(err); err != nil {
		return nil, err
	}
	key := exptypes.ExporterImageConfigKey + suffix
	if meta[key], err = forget(meta[key], len(base.History)); err != nil {
		return nil, err
	}
	flat, err := i.tools.Cache.GetByBlob(ctx, desc, parent, cache.WithDescription("flattened"))
	if err != nil {
		return nil, err
	}
	if err := flat.Extract(ctx, g); err != nil {
		_ = flat.Release(context.WithoutCancel(ctx))
		return nil, err
	}
	i.tell(ctx, chain[below:], flat)
	return flat, nil
}

// readBase is the configuration of the base; of none it is empty.
func readBase(meta map[string][]byte, suffix string) (base ocispec.Image, err error) {
	text := meta[exptypes.ExporterImageBaseConfigKey+suffix]
	if len(text) == 0 {
		return base, nil
	}
	if err := json.Unmarshal(text, &base); err != nil {
		return base, fmt.Errorf("read the configuration of the base: %w", err)
	}
	return base, nil
}

// layer is the blob of the difference between ref and parent.
func (i *instance) layer(ctx context.Context, ref, parent cache.ImmutableRef, g session.Group) (ocispec.Descriptor, error) {
	key := "berth.flat"
	if parent != nil {
		key += "." + parent.ID()
	}
	if desc, ok := i.known(ctx, ref.GetString(key)); ok {
		return desc, nil
	}
	upper, release, err := mounts(ctx, ref, g)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer release()
	var lower []mount.Mount
	if parent != nil {
		list, release, err := mounts(ctx, parent, g)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		defer release()
		lower = list
	}
	desc, err := i.tools.Differ.Compare(ctx, lower, upper, diff.WithMediaType(ocispec.MediaTypeImageLayerGzip), diff.WithCompressor(quick))
	if err != nil {
		return desc, err
	}
	if err := ref.SetString(key, desc.Digest.String(), ""); err != nil {
		return desc, err
	}
	return i.describe(ctx, desc)
}

// known is a layer that an earlier build left, if it is still there.
func (i *instance) known(ctx context.Context, text string) (ocispec.Descriptor, bool) {
	d, err := digest.Parse(text)
	if err != nil {
		return ocispec.Descriptor{}, false
	}
	desc, err := i.describe(ctx, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d})
	return desc, err == nil
}

// describe says what BuildKit has to know of a blob.
func (i *instance) describe(ctx context.Context, desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	info, err := i.tools.Blobs.Info(ctx, desc.Digest)
	if err != nil {
		return desc, err
	}
	desc.Size = info.Size
	desc.Annotations = map[string]string{labels.LabelUncompressed: info.Labels[labels.LabelUncompressed]}
	return desc, nil
}

func quick(w io.Writer, _ string) (io.WriteCloser, error) {
	return gzip.NewWriterLevel(w, gzip.BestSpeed)
}

func mounts(ctx context.Context, r cache.ImmutableRef, g session.Group) ([]mount.Mount, func(), error) {
	m, err := r.Mount(ctx, true, g)
	if err != nil {
		return nil, nil, err
	}
	list, release, err := m.Mount()
	if err != nil {
		return nil, nil, err
	}
	return list, func() { _ = release() }, nil
}

// tell says what was saved, unpacked. It is not worth an error.
func (i *instance) tell(ctx context.Context, above []cache.ImmutableRef, flat cache.ImmutableRef) {
	of := client.DiskUsageInfo{Filter: []string{"id==" + flat.ID()}}
	for _, r := range above {
		of.Filter = append(of.Filter, "id=="+r.ID())
	}
	list, err := i.tools.Cache.DiskUsage(ctx, of)
	if err != nil {
		return
	}
	var saved int64
	for _, u := range list {
		if u.ID == flat.ID() {
			saved -= u.Size
		} else {
			saved += u.Size
		}
	}
	if saved > 0 {
		_ = progress.OneOff(ctx, "smaller by "+units.HumanSize(float64(saved))+", packed and unpacked")(nil)
	}
}

// forget marks the entries of an image's history above its base's as ones
// without a layer, but the last that has one. What else is there stays.
func forget(config []byte, base int) ([]byte, error) {
	var all map[string]json.RawMessage
	var history []ocispec.History
	if err := json.Unmarshal(config, &all); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(all["history"]) > 0 {
		if err := json.Unmarshal(all["history"], &history); err != nil {
			return nil, fmt.Errorf("read the history: %w", err)
		}
	}
	kept := false
	for i := len(history) - 1; i >= base; i-- {
		if !history[i].EmptyLayer {
			history[i].EmptyLayer, kept = kept, true
		}
	}
	text, err := json.Marshal(history)
	if err != nil {
		return nil, err
	}
	all["history"] = text
	return json.Marshal(all)
}
