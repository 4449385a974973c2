// Package demux takes the frames of an output that is not a terminal's apart:
// stdcopy's reader moves all that it has read for each frame, which is most of
// the time it takes to read a long log.
package demux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/moby/moby/api/pkg/stdcopy"
)

const (
	headerBytes = 8
	bufferBytes = 64 << 10
)

// Copy writes what is framed in src to out and errOut. What has come is written
// before it waits for more, in the order of the frames; frames of one stream that
// follow each other are written at once.
func Copy(out, errOut io.Writer, src io.Reader) error {
	d := demux{out: out, err: errOut, pending: make([]byte, 0, bufferBytes)}
	buf := make([]byte, bufferBytes)
	for {
		n, readErr := src.Read(buf)
		if err := errors.Join(d.take(buf[:n]), d.flush()); err != nil {
			return err
		}
		switch {
		case readErr == io.EOF && (d.left > 0 || d.have > 0):
			return io.ErrUnexpectedEOF
		case readErr == io.EOF:
			return nil
		case readErr != nil:
			return readErr
		}
	}
}

type demux struct {
	out, err io.Writer

	header  [headerBytes]byte
	have    int       // of the header
	left    int       // of the frame
	to      io.Writer // of the frame
	failed  bool      // the frame is the engine's error
	failure []byte    // that

	pendingTo io.Writer
	pending   []byte // what was read for pendingTo
}

// take takes bytes as they come.
func (d *demux) take(b []byte) error {
	for len(b) > 0 {
		if d.left > 0 {
			n := min(d.left, len(b))
			if err := d.write(b[:n]); err != nil {
				return err
			}
			b, d.left = b[n:], d.left-n
		} else {
			n := copy(d.header[d.have:], b)
			b, d.have = b[n:], d.have+n
			if d.have < headerBytes {
				return nil
			}
			if err := d.begin(); err != nil {
				return err
			}
		}
		if d.failed && d.left == 0 {
			return fmt.Errorf("error from daemon in stream: %s", d.failure)
		}
	}
	return nil
}

// begin begins the frame that the header tells of.
func (d *demux) begin() error {
	d.have, d.left = 0, int(binary.BigEndian.Uint32(d.header[4:]))
	switch stream := stdcopy.StdType(d.header[0]); stream {
	case stdcopy.Stdin, stdcopy.Stdout:
		d.to = d.out
	case stdcopy.Stderr:
		d.to = d.err
	case stdcopy.Systemerr:
		d.failed = true
	default:
		return fmt.Errorf("unrecognized stream: %d", stream)
	}
	return nil
}

func (d *demux) write(b []byte) error {
	if d.failed {
		d.failure = append(d.failure, b...)
		return nil
	}
	if d.to != d.pendingTo || len(d.pending)+len(b) > cap(d.pending) {
		if err := d.flush(); err != nil {
			return err
		}
		d.pendingTo = d.to
	}
	d.pending = append(d.pending, b...)
	return nil
}

func (d *demux) flush() error {
	if len(d.pending) == 0 {
		return nil
	}
	_, err := d.pendingTo.Write(d.pending)
	d.pending = d.pending[:0]
	return err
}
