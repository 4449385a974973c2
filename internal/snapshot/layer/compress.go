package layer

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"github.com/berth-containers/berth/internal/snapshot/gunzip"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
)

// Compression is how a stream is packed.
type Compression int

// The compressions that image layers have.
const (
	Plain Compression = iota
	Gzip
	Zstd
)

// maxWindow bounds the memory that a zstd stream may ask for.
const maxWindow = 128 << 20

// Detect tells the compression from a stream's first bytes.
func Detect(head []byte) Compression {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 0x08}):
		return Gzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return Zstd // starts with a skippable frame
	}
	return Plain
}

// Likely says if the first 512 bytes of a stream look like those of a layer.
func Likely(head []byte) bool {
	const magic = 257 // where a tar header says what it is
	return Detect(head) != Plain || len(head) > magic && bytes.HasPrefix(head[magic:], []byte("ustar"))
}

// foreign are packings that are recognised but not read.
var foreign = [...]struct{ name, magic string }{
	{"bzip2", "1AY&SY"}, // after BZh and a digit
	{"xz", "\xfd7zXZ\x00"},
	{"zip", "PK\x03\x04"},
}

func refuseForeign(head []byte) error {
	for _, f := range foreign {
		at := 0
		if f.name == "bzip2" {
			at = 4
		}
		if len(head) >= at && bytes.HasPrefix(head[at:], []byte(f.magic)) {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the archive is packed with %s; only gzip and zstd are read, so unpack it first", f.name))
		}
	}
	return nil
}

// Peek tells the compression of r and returns a reader of the whole of it.
func Peek(r io.Reader) (Compression, io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(10)
	if err != nil && err != io.EOF {
		return Plain, nil, fmt.Errorf("read stream: %w", err)
	}
	if err := refuseForeign(head); err != nil {
		return Plain, nil, err
	}
	return Detect(head), b, nil
}

// Decompress returns the uncompressed form of r, in this process.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	kind, r, err := Peek(r)
	if err != nil {
		return nil, err
	}
	switch kind {
	case Gzip:
		z, err := gunzip.New(r)
		if err != nil {
			return nil, fmt.Errorf("read gzip: %w", err)
		}
		return z, nil
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("read zstd: %w", err)
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(r), nil
}
