package depot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// BlobPath is where a blob's bytes are, if it is here.
func (s *Depot) BlobPath(d digest.Digest) string {
	return filepath.Join(s.Layout, "blobs", d.Algorithm().String(), d.Encoded())
}

// ReadBlob reads a small blob of the store.
func (s *Depot) ReadBlob(ctx context.Context, desc ocispec.Descriptor, limit int64) ([]byte, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, invalid("digest %q: %v", desc.Digest, err)
	}
	ra, err := s.Blobs.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer ra.Close()
	if ra.Size() > limit {
		return nil, invalid("%s is larger than %d bytes", desc.Digest, limit)
	}
	return io.ReadAll(content.NewReader(ra))
}

// ReadJSON reads a small blob of the store and decodes it.
func (s *Depot) ReadJSON(ctx context.Context, desc ocispec.Descriptor, limit int64, into any) error {
	b, err := s.ReadBlob(ctx, desc, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return invalid("read %s: %v", desc.Digest, err)
	}
	return nil
}

// WriteBlob stores a small blob.
func (s *Depot) WriteBlob(ctx context.Context, mediaType string, b []byte) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	return desc, s.WriteDescribed(ctx, desc, b)
}

// WriteDescribed stores a small blob under a descriptor that is known.
func (s *Depot) WriteDescribed(ctx context.Context, desc ocispec.Descriptor, b []byte) error {
	release, err := s.Flights.Take(ctx, "blob "+desc.Digest.String())
	if err != nil {
		return err
	}
	defer release()
	if here, err := s.HoldBlob(ctx, desc.Digest); here || err != nil {
		return err
	}
	return content.WriteBlob(ctx, s.Blobs, "blob-"+desc.Digest.String(), bytes.NewReader(b), desc)
}

// Label adds labels to a blob; those it has stay.
func (s *Depot) Label(ctx context.Context, d digest.Digest, labels map[string]string) error {
	info := content.Info{Digest: d, Labels: labels}
	fields := make([]string, 0, len(labels))
	for k := range labels {
		fields = append(fields, "labels."+k)
	}
	if len(fields) == 0 {
		return nil
	}
	if _, err := s.Blobs.Update(ctx, info, fields...); err != nil {
		return fmt.Errorf("own blobs of %s: %w", d, err)
	}
	return nil
}
