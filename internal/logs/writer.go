package logs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Mark is a place in a log: the end of what is in the segment Inode.
type Mark struct {
	Inode uint64
	Bytes int64
}

// Writer appends to a log. It is for one caller at a time; each log has one
// Writer.
type Writer struct {
	format format // nil: nothing is kept
	limits limits
	dir    string

	file  *os.File
	mark  Mark
	batch []byte
}

// NewWriter opens the log, cuts off what a crash left half-written, and goes on
// behind it. A log of driver none takes everything and keeps nothing.
func NewWriter(c Config) (*Writer, error) {
	f, lim, err := resolve(c)
	if err != nil {
		return nil, err
	}
	w := &Writer{format: f, limits: lim, dir: c.Dir}
	if f == nil {
		return w, nil
	}
	if err := w.open(); err != nil {
		return nil, fmt.Errorf("open log of driver %s: %w", c.Driver, err)
	}
	return w, nil
}

func (w *Writer) open() error {
	segments, err := w.format.list(w.dir)
	if err != nil {
		return err
	}
	if len(segments) == 0 {
		return w.rotate()
	}
	f, err := os.OpenFile(segments[len(segments)-1].path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if !hasHeader(f, w.format.header()) {
		f.Close()
		return w.rotate()
	}
	if err := w.use(f); err != nil {
		return err
	}
	end, err := w.scan(int64(len(w.format.header())), nil)
	if errors.Is(err, errTorn) {
		return w.rotate() // damage, not a write that was cut short: leave it to be looked at
	}
	if err != nil {
		return err
	}
	return w.cut(end)
}

func (w *Writer) use(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	if w.file != nil {
		w.file.Close()
	}
	w.file = f
	w.mark = Mark{Inode: info.Sys().(*syscall.Stat_t).Ino, Bytes: info.Size()}
	return nil
}

func (w *Writer) rotate() error {
	f, err := w.format.rotate(w.dir, w.limits.maxFiles)
	if f == nil {
		return err
	}
	// An old segment that would not go is no reason to lose new lines.
	return w.use(f)
}

// scan returns where the whole entries from offset on end; errTorn if what
// follows there is damaged.
func (w *Writer) scan(offset int64, each func(Message)) (end int64, err error) {
	c := cursor{format: w.format, file: w.file, offset: offset}
	for {
		m, err := c.next()
		if err == io.EOF {
			return c.offset, nil
		}
		if err != nil {
			return c.offset, err
		}
		if each != nil {
			each(m)
		}
	}
}

func (w *Writer) cut(end int64) error {
	if end == w.mark.Bytes {
		return nil
	}
	if err := w.file.Truncate(end); err != nil {
		return err
	}
	w.mark.Bytes = end
	return nil
}

// Prepare encodes messages and returns where the log ends now and where it
// will end once Commit has written them. Between both, the caller can note the
// two marks, so that after a crash Recover knows what was written.
func (w *Writer) Prepare(messages []Message) (before, after Mark, err error) {
	w.batch = w.batch[:0]
	if w.format == nil {
		return Mark{}, Mark{}, nil
	}
	for _, m := range messages {
		w.batch = w.format.append(w.batch, m)
	}
	full := w.limits.maxBytes > 0 && w.mark.Bytes+int64(len(w.batch)) > w.limits.maxBytes
	if full && w.mark.Bytes > int64(len(w.format.header())) {
		if err := w.rotate(); err != nil {
			return Mark{}, Mark{}, err
		}
	}
	before, after = w.mark, w.mark
	after.Bytes += int64(len(w.batch))
	return before, after, nil
}

// Commit writes what was prepared.
func (w *Writer) Commit() error {
	if w.format == nil || len(w.batch) == 0 {
		return nil
	}
	n, err := w.file.WriteAt(w.batch, w.mark.Bytes)
	if err != nil {
		if n > 0 {
			err = errors.Join(err, w.file.Truncate(w.mark.Bytes))
		}
		return fmt.Errorf("write log: %w", err)
	}
	w.mark.Bytes += int64(n)
	return nil
}

// Lend gives the writer a buffer for the next Prepare, and Return takes it back,
// maybe grown, after Commit: so a writer keeps none while nothing is written.
func (w *Writer) Lend(buffer []byte) { w.batch = buffer[:0] }

// Return is the other half of Lend.
func (w *Writer) Return() []byte {
	b := w.batch
	w.batch = nil
	return b
}

// Append writes messages with one write.
func (w *Writer) Append(messages ...Message) error {
	if _, _, err := w.Prepare(messages); err != nil {
		return err
	}
	return w.Commit()
}

// Recover tells how much of what was prepared from before to after a crash
// kept from being written: all is true if everything was, else bytes is the
// sum of the lengths of the lines that were.
func (w *Writer) Recover(before, after Mark) (bytes int64, all bool, err error) {
	if w.format == nil || w.mark.Inode != before.Inode || w.mark.Bytes >= after.Bytes {
		return 0, true, nil // a segment is only left once it has everything
	}
	if w.mark.Bytes <= before.Bytes {
		return 0, false, nil
	}
	_, err = w.scan(before.Bytes, func(m Message) { bytes += int64(len(m.Line)) })
	return bytes, false, err
}

// Close closes the log.
func (w *Writer) Close() error {
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}
