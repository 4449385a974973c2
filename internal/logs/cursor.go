package logs

import (
	"errors"
	"io"
	"os"
)

// cursor reads the entries of one segment, forwards.
type cursor struct {
	format format
	file   *os.File
	offset int64 // of the next entry

	buf   []byte // what was read from offset on, within store
	store []byte
}

const (
	cursorRead = 64 << 10
	cursorMost = ringMost + jsonMost // no entry is longer
)

// next returns the next entry; io.EOF if there is none that is complete, and
// errTorn if what is there is none. Both keep the place: what follows may be
// written, or cut and rewritten, later.
func (c *cursor) next() (Message, error) {
	for {
		m, n, err := c.format.next(c.buf)
		if n > 0 {
			c.buf = c.buf[n:]
			c.offset += int64(n)
			if err == nil {
				return m, nil
			}
			continue // damage whose end is known
		}
		if err == nil {
			err = c.fill()
		}
		if err != nil {
			c.buf = nil
			return Message{}, err
		}
	}
}

// fill reads more behind what is in buf; io.EOF if there is nothing.
func (c *cursor) fill() error {
	have := len(c.buf)
	if have > cursorMost {
		return errTorn
	}
	if cap(c.store) < have+cursorRead {
		c.store = make([]byte, 2*have+cursorRead)
	}
	c.store = c.store[:cap(c.store)]
	copy(c.store, c.buf)
	n, err := c.file.ReadAt(c.store[have:], c.offset+int64(have))
	c.buf = c.store[:have+n]
	if n > 0 {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.EOF
	}
	return err
}
