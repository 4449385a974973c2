package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/berth-containers/berth/internal/image/manifest"
	"github.com/berth-containers/berth/internal/image/report"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Save writes images as one tar that is a docker-archive and an OCI layout at
// once; the same images give the same bytes. An image of an index is saved as
// the manifest for platform, or with "" for the one that was pulled last.
func (s copier) Save(ctx context.Context, refs []string, platform string, w io.Writer) error {
	return s.save(ctx, refs, platform, w)
}

// Part is Save with only those blobs that are listed, for a store that has the
// others.
func (s copier) Part(ctx context.Context, ref string, blobs []report.Blob, w io.Writer) error {
	want := map[string]bool{}
	for _, b := range blobs {
		want[b.Digest] = true
	}
	return s.save(ctx, []string{ref}, "", w, archive.WithBlobFilter(func(d ocispec.Descriptor) bool { return want[d.Digest.String()] }))
}

func (s copier) save(ctx context.Context, refs []string, platform string, w io.Writer, opts ...archive.ExportOpt) error {
	ctx, done, err := s.depot.Lease(s.depot.Scope(ctx))
	if err != nil {
		return err
	}
	defer done(nil)
	for _, ref := range refs {
		opt, err := s.exported(ctx, ref, platform)
		if err != nil {
			return err
		}
		opts = append(opts, opt)
	}
	if err := exportTo(ctx, s.depot.Blobs, w, opts); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	return nil
}

// exportTo writes the archive; containerd's has the images of manifest.json in
// any order.
func exportTo(ctx context.Context, blobs content.Store, w io.Writer, opts []archive.ExportOpt) error {
	opts = append(opts, archive.WithPlatform(platforms.All))
	r, pipe := io.Pipe()
	exported := make(chan error, 1)
	go func() {
		err := archive.Export(ctx, blobs, pipe, opts...)
		pipe.CloseWithError(err)
		exported <- err
	}()
	err := sortManifest(w, r)
	r.CloseWithError(err)
	if exportErr := <-exported; err == nil {
		err = exportErr
	}
	return err
}

func sortManifest(w io.Writer, r io.Reader) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		body := io.Reader(in)
		if h.Name == "manifest.json" {
			var list []json.RawMessage
			if err := json.NewDecoder(in).Decode(&list); err != nil {
				return fmt.Errorf("sort manifest.json: %w", err)
			}
			slices.SortFunc(list, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
			b, err := json.Marshal(list)
			if err != nil {
				return fmt.Errorf("sort manifest.json: %w", err)
			}
			h.Size, body = int64(len(b)), bytes.NewReader(b)
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, body); err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, r) // what follows the end marker
	return err
}

func (s copier) exported(ctx context.Context, ref, platform string) (archive.ExportOpt, error) {
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
	if r, err = s.choose(ctx, r, platform); err != nil {
		return nil, fmt.Errorf("save %s: %w", ref, err)
	}
	p, err := manifest.Read(ctx, s.depot, r)
	if err != nil {
		return nil, fmt.Errorf("save %s: %w", ref, err)
	}
	return exportOf(p, record), nil
}

// exportOf puts one image into an archive, under a record if it has one.
func exportOf(p *manifest.Image, record string) archive.ExportOpt {
	if record == "" {
		return archive.WithManifest(manifest.Bare(p.Desc))
	}
	return archive.WithManifest(manifest.Bare(p.Desc), record)
}
