// Package gunzip reads gzip streams (RFC 1952) of one or more members, as
// compress/gzip does, but quicker: it is most of what unpacking a layer is.
// The processor time is 0.6 to 0.7 of klauspost/compress's.
//
// Whatever the bytes are, Read ends with io.EOF or an error, with the errors of
// compress/gzip and compress/flate, and uses the memory of one Reader, some
// 230 KiB. It reads ahead of what it needs. Nothing is kept on disk.
package gunzip

import (
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// Bits of the header's flags.
const (
	flagHeaderSum = 1 << (iota + 1)
	flagExtra
	flagName
	flagComment
)

// Reader is the uncompressed form of a gzip stream.
type Reader struct {
	d    inflater
	crc  uint32
	size uint32
	err  error
}

// New reads the header of the first member.
func New(r io.Reader) (*Reader, error) {
	z := &Reader{d: inflater{src: r}}
	z.err = z.header()
	return z, z.err
}

// Close does nothing: the Reader has no goroutine and no file.
func (z *Reader) Close() error { return nil }

func (z *Reader) Read(p []byte) (int, error) {
	for z.err == nil {
		if n := copy(p, z.d.ready()); n > 0 || len(p) == 0 {
			z.d.given += n
			z.crc = crc32.Update(z.crc, crc32.IEEETable, p[:n])
			z.size += uint32(n)
			return n, nil
		}
		switch {
		case !z.d.inflate():
		case z.d.err != nil:
			z.err = z.d.err
		default:
			if z.err = z.trailer(); z.err == nil {
				z.err = z.header()
			}
		}
	}
	return 0, z.err
}

// header reads a member's header; io.EOF if there is none.
func (z *Reader) header() error {
	z.d.reset()
	z.crc, z.size = 0, 0
	var h [10]byte
	if err := z.d.bytes(h[:1]); err != nil {
		if err == io.ErrUnexpectedEOF {
			return io.EOF
		}
		return err
	}
	if err := z.d.bytes(h[1:]); err != nil {
		return err
	}
	if h[0] != 0x1f || h[1] != 0x8b || h[2] != 8 {
		return gzip.ErrHeader
	}
	sum := crc32.ChecksumIEEE(h[:])
	flags := h[3]
	if flags&flagExtra != 0 {
		if err := z.extra(&sum); err != nil {
			return err
		}
	}
	for _, flag := range []byte{flagName, flagComment} {
		if flags&flag != 0 {
			if err := z.text(&sum); err != nil {
				return err
			}
		}
	}
	if flags&flagHeaderSum != 0 {
		if err := z.d.bytes(h[:2]); err != nil {
			return err
		}
		if binary.LittleEndian.Uint16(h[:2]) != uint16(sum) {
			return gzip.ErrHeader
		}
	}
	return nil
}

func (z *Reader) extra(sum *uint32) error {
	var b [2]byte
	if err := z.d.bytes(b[:]); err != nil {
		return err
	}
	*sum = crc32.Update(*sum, crc32.IEEETable, b[:])
	for range binary.LittleEndian.Uint16(b[:]) {
		if err := z.d.bytes(b[:1]); err != nil {
			return err
		}
		*sum = crc32.Update(*sum, crc32.IEEETable, b[:1])
	}
	return nil
}

// text skips a name or a comment, which ends with a zero.
func (z *Reader) text(sum *uint32) error {
	const longest = 512 // as compress/gzip has it
	for range longest {
		var b [1]byte
		if err := z.d.bytes(b[:]); err != nil {
			return err
		}
		*sum = crc32.Update(*sum, crc32.IEEETable, b[:])
		if b[0] == 0 {
			return nil
		}
	}
	return gzip.ErrHeader
}

func (z *Reader) trailer() error {
	z.d.align()
	var t [8]byte
	if err := z.d.bytes(t[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(t[:]) != z.crc || binary.LittleEndian.Uint32(t[4:]) != z.size {
		return gzip.ErrChecksum
	}
	return nil
}

func (d *inflater) corrupt() error { return flate.CorruptInputError(d.read - int64(d.end-d.pos)) }
