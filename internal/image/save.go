package image

import (
	"context"
	"fmt"
	"io"

	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/platforms"
)

// Save writes images as one tar that is a docker-archive and an OCI layout at
// once; the same images give the same bytes. An image of an index is saved as
// the manifest for its platform that is here.
func (s *Store) Save(ctx context.Context, refs []string, w io.Writer) error {
	ctx, done, err := s.depot.Lease(s.depot.Scope(ctx))
	if err != nil {
		return err
	}
	defer done(nil)
	var opts []archive.ExportOpt
	for _, ref := range refs {
		opt, err := s.exported(ctx, ref)
		if err != nil {
			return err
		}
		opts = append(opts, opt)
	}
	opts = append(opts, archive.WithPlatform(platforms.All))
	if err := archive.Export(ctx, s.depot.Blobs, w, opts...); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	return nil
}

func (s *Store) exported(ctx context.Context, ref string) (archive.ExportOpt, error) {
	v := s.view.Load()
	if v.isHost(ref) {
		return nil, invalid("the image %q is the running system and cannot be saved; import a tar of it under another name", HostName)
	}
	img, record, err := v.find(ref)
	if err != nil {
		return nil, err
	}
	r := v.reading(img, record)
	if _, err := s.depot.HoldBlob(ctx, r.Target.Digest); err != nil {
		return nil, err
	}
	p, err := manifest.Read(ctx, s.depot, r)
	if err != nil {
		return nil, fmt.Errorf("save %s: %w", ref, err)
	}
	desc := manifest.Bare(p.Desc)
	if record == "" {
		return archive.WithManifest(desc), nil
	}
	return archive.WithManifest(desc, record), nil
}
