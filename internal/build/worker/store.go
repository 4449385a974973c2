package worker

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"

	"github.com/berth-containers/berth/internal/build/calls"
)

// pieceBytes is how much of a blob is sent to the engine at once.
const pieceBytes = 1 << 20

// blobs is the engine's content store. What is there is read from its file; what
// is written goes to the engine in large pieces.
type blobs struct {
	content.Store
	layout string
}

func (b *blobs) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	info, err := b.Info(ctx, desc.Digest)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(b.layout, "blobs", desc.Digest.Algorithm().String(), desc.Digest.Encoded()))
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", desc.Digest, err)
	}
	return blobReader{f, info.Size}, nil
}

type blobReader struct {
	*os.File
	size int64
}

func (r blobReader) Size() int64 { return r.size }

func (b *blobs) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := b.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return &blobWriter{Writer: w, buf: bufio.NewWriterSize(w, pieceBytes)}, nil
}

type blobWriter struct {
	content.Writer
	buf *bufio.Writer
}

func (w *blobWriter) Write(p []byte) (int, error) { return w.buf.Write(p) }

func (w *blobWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	if err := w.buf.Flush(); err != nil {
		return err
	}
	return w.Writer.Commit(ctx, size, expected, opts...)
}

func (w *blobWriter) Digest() digest.Digest {
	if w.buf.Flush() != nil {
		return ""
	}
	return w.Writer.Digest()
}

func (w *blobWriter) Status() (content.Status, error) {
	if err := w.buf.Flush(); err != nil {
		return content.Status{}, err
	}
	return w.Writer.Status()
}

func (w *blobWriter) Truncate(size int64) error {
	w.buf.Reset(w.Writer)
	return w.Writer.Truncate(size)
}

// names are the engine's images, to be read: the exporter names what was built.
type names struct{ conn grpc.ClientConnInterface }

func (n names) Get(ctx context.Context, name string) (images.Image, error) {
	return calls.Call[images.Image](ctx, n.conn, calls.FindImage, name)
}

func (n names) List(ctx context.Context, _ ...string) ([]images.Image, error) {
	return calls.Call[[]images.Image](ctx, n.conn, calls.Images, struct{}{})
}

func (n names) Create(context.Context, images.Image) (images.Image, error) {
	return images.Image{}, errdefs.ErrNotImplemented
}

func (n names) Update(context.Context, images.Image, ...string) (images.Image, error) {
	return images.Image{}, errdefs.ErrNotImplemented
}

func (n names) Delete(context.Context, string, ...images.DeleteOpt) error {
	return errdefs.ErrNotImplemented
}
