// Package exporter puts what was built among the engine's images: BuildKit's
// exporter writes manifest, configuration and packed layers into the store that
// the engine shares, then the engine names the image, whose unpacked layers are
// the ones that the build made. A crash before the name leaves a lease, which
// the next builder drops.
package exporter

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/cache"
	cacheconfig "github.com/moby/buildkit/cache/config"
	bk "github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/compression"
	"github.com/moby/buildkit/util/progress"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"

	"github.com/berth-containers/berth/internal/build/calls"
)

// Name is the exporter of clients that build for the engine's own images.
const Name = "moby"

// New wraps BuildKit's exporter of images; conn is the engine's.
func New(images bk.Exporter, conn grpc.ClientConnInterface) bk.Exporter {
	return &exporter{images, conn}
}

type exporter struct {
	bk.Exporter
	conn grpc.ClientConnInterface
}

// Resolve reads what an output asks for.
func (e *exporter) Resolve(ctx context.Context, id int, attrs map[string]string) (bk.ExporterInstance, error) {
	attrs = maps.Clone(attrs)
	if attrs == nil {
		attrs = map[string]string{}
	}
	list, err := Names(attrs[string(exptypes.OptKeyName)])
	if err != nil {
		return nil, err
	}
	keep := attrs[string(exptypes.OptKeyStore)] != "false"
	attrs[string(exptypes.OptKeyName)] = strings.Join(list, ",")
	attrs[string(exptypes.OptKeyStore)] = "false" // the engine does that
	if attrs["compression"] == "" && attrs["compression-level"] == "" && attrs[string(exptypes.OptKeyPush)] == "" {
		// Quick: what is saved by more is less than what is waited for.
		attrs["compression-level"] = "1"
	}
	inner, err := e.Exporter.Resolve(ctx, id, attrs)
	if err != nil {
		return nil, err
	}
	return &instance{ExporterInstance: inner, conn: e.conn, names: list, keep: keep}, nil
}

// Names are the names in a list of an image's, in their long form, each once.
func Names(text string) ([]string, error) {
	var list []string
	for _, name := range strings.Split(text, ",") {
		if name == "" || name == "*" {
			continue
		}
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return nil, fmt.Errorf("invalid image name %q: %w", name, err)
		}
		if _, ok := named.(reference.Canonical); ok {
			return nil, fmt.Errorf("invalid image name %q: what is built cannot be named by a digest", name)
		}
		long := reference.TagNameOnly(named).String()
		if !slices.Contains(list, long) {
			list = append(list, long)
		}
	}
	return list, nil
}

type instance struct {
	bk.ExporterInstance
	conn  grpc.ClientConnInterface
	names []string
	keep  bool
}

// Export writes the image and has the engine name it.
func (i *instance) Export(ctx context.Context, src *bk.Source, info bk.ExportBuildInfo) (
	map[string]string, bk.FinalizeFunc, bk.DescriptorReference, error) {
	answer, finalize, ref, err := i.ExporterInstance.Export(ctx, src, info)
	if err != nil || !i.keep {
		return answer, finalize, ref, err
	}
	if err := i.enter(ctx, src, info, ref.Descriptor(), answer); err != nil {
		if releaseErr := ref.Release(); releaseErr != nil {
			err = fmt.Errorf("%w (and release it: %w)", err, releaseErr)
		}
		return nil, nil, nil, err
	}
	return answer, finalize, ref, nil
}

func (i *instance) enter(ctx context.Context, src *bk.Source, info bk.ExportBuildInfo, desc ocispec.Descriptor, answer map[string]string) (err error) {
	done := progress.OneOff(ctx, "naming to "+strings.Join(i.names, ", "))
	defer func() { err = done(err) }()
	group := session.NewGroup(info.SessionID)
	cfg := cacheconfig.RefConfig{Compression: compression.New(compression.Default)}
	if c := i.Config(); c != nil {
		cfg.Compression = c.Compression()
	}
	for _, r := range refs(src) {
		if err := complete(ctx, r, cfg, group); err != nil {
			return err
		}
	}
	made := calls.Made{Names: i.names, Target: desc}
	if r := native(src); r != nil {
		made.Layers = layers(r)
	}
	entered, err := calls.Call[calls.Entered](ctx, i.conn, calls.Enter, made)
	if err != nil {
		return err
	}
	answer["berth.image.id"] = entered.ID
	return nil
}

// complete fetches the layers that the build had no need to look into.
func complete(ctx context.Context, r cache.ImmutableRef, cfg cacheconfig.RefConfig, g session.Group) error {
	remotes, err := r.GetRemotes(ctx, false, cfg, false, g)
	if err != nil {
		return err
	}
	if u, ok := remotes[0].Provider.(cache.Unlazier); ok {
		return u.Unlazy(ctx)
	}
	return nil
}

func refs(src *bk.Source) []cache.ImmutableRef {
	var list []cache.ImmutableRef
	if src.Ref != nil {
		list = append(list, src.Ref)
	}
	for _, r := range src.Refs {
		if r != nil {
			list = append(list, r)
		}
	}
	return list
}

// native is what was built for this host.
func native(src *bk.Source) cache.ImmutableRef {
	if src.Ref != nil {
		return src.Ref
	}
	ps, err := exptypes.ParsePlatforms(src.Metadata)
	if err != nil {
		return nil
	}
	host := platforms.Default()
	for _, p := range ps.Platforms {
		if host.Match(p.Platform) {
			return src.Refs[p.ID]
		}
	}
	return nil
}

// layers are the names that the store has of the layers of r, the lowest first:
// BuildKit names the layer of a ref like the ref.
func layers(r cache.ImmutableRef) []string {
	chain := r.LayerChain()
	defer func() { _ = chain.Release(context.Background()) }()
	list := make([]string, 0, len(chain))
	for _, l := range chain {
		list = append(list, l.ID())
	}
	return list
}
