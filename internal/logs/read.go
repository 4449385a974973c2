package logs

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/sys/inotify"
)

// ReadOptions say what to read.
type ReadOptions struct {
	Since, Until   time.Time // the zero time: no limit
	Tail           int       // the last so many entries; negative: all
	Stdout, Stderr bool
	// Follow waits for more until Done is closed; what was written before
	// that is still read. A nil Done is never closed.
	Follow bool
	Done   <-chan struct{}
	// Idle is called when a follower has yielded all there is, before it waits.
	Idle func() error
}

func (o ReadOptions) wants(m Message) bool {
	if m.Stream == Stderr && !o.Stderr || m.Stream == Stdout && !o.Stdout {
		return false
	}
	return m.Time.Compare(o.Since) >= 0
}

// Read calls yield for each entry, in the order in which they were written,
// each once. A follower that is so slow that the ring overtakes it goes on with
// the oldest entry that is left. An error of yield ends it and is returned.
func Read(ctx context.Context, c Config, o ReadOptions, yield func(Message) error) error {
	f, _, err := resolve(c)
	if err != nil {
		return err
	}
	if f == nil {
		return errdefs.ErrNotImplemented.WithMessage("configured logging driver does not support reading")
	}
	r := reader{format: f, dir: c.Dir, options: o}
	defer r.close()
	if o.Follow {
		stop, err := r.watch()
		if err != nil {
			return err
		}
		defer stop()
	}
	skip, err := r.seek()
	if err != nil {
		return err
	}
	return r.run(ctx, skip, yield)
}

type reader struct {
	format  format
	dir     string
	options ReadOptions
	cursor  cursor // file nil: no segment was seen yet
	changed chan struct{}
	ended   bool // Until was reached
}

func (r *reader) close() {
	if r.cursor.file != nil {
		r.cursor.file.Close()
	}
}

// watch makes changed wake the reader; stop ends that.
func (r *reader) watch() (stop func(), err error) {
	w, err := inotify.Watch(r.dir)
	if err != nil {
		return nil, err
	}
	r.changed = make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for w.Wait() == nil {
			select {
			case r.changed <- struct{}{}:
			default:
			}
		}
	}()
	return func() { w.Close(); <-ended }, nil
}

// seek goes to the segment to start with, and says how many wanted entries
// there are to skip.
func (r *reader) seek() (skip int, err error) {
	if r.options.Tail < 0 && r.options.Since.IsZero() {
		return 0, nil
	}
	segments, err := stable(r.format, r.dir)
	if err != nil {
		return 0, err
	}
	if r.options.Tail < 0 {
		return 0, r.seekTime(segments)
	}
	left := r.options.Tail
	for i := len(segments) - 1; i >= 0; i-- {
		if ok, err := r.open(segments[i]); err != nil {
			return 0, err
		} else if !ok {
			return 0, nil // rotated away just now: what is left are newer ones
		}
		n, err := r.countBack(left)
		if err != nil {
			return 0, err
		}
		if n >= left || i == 0 {
			return max(0, n-left), nil
		}
		left -= n
	}
	return 0, nil
}

// seekTime goes to the last segment that starts before Since, and in it near the
// first entry that does not.
func (r *reader) seekTime(segments []segment) error {
	for _, s := range slices.Backward(segments) {
		ok, err := r.open(s)
		if err != nil || !ok {
			return err
		}
		first := r.cursor
		if m, err := first.next(); err == nil && m.Time.Before(r.options.Since) {
			return r.bisect()
		}
	}
	return nil
}

// nearEnough is how many bytes are read rather than searched.
const nearEnough = 256 << 10

// bisect moves the reader to an entry of the current segment that is older than
// Since and not far from one that is not.
func (r *reader) bisect() error {
	info, err := r.cursor.file.Stat()
	if err != nil {
		return err
	}
	low, high := r.cursor.offset, info.Size()
	window := make([]byte, nearEnough/2) // longer than two usual entries
	for high-low > nearEnough {
		middle := low + (high-low)/2
		n, err := r.cursor.file.ReadAt(window, middle)
		if err != nil && err != io.EOF {
			return err
		}
		at := r.format.sync(window[:n])
		if at < 0 {
			break // an entry of somebody else's: what is left is read
		}
		m, size, err := r.format.next(window[at:n])
		if err != nil || size == 0 { // it is not whole in the window
			break
		}
		if m.Time.Before(r.options.Since) {
			low = middle + int64(at)
		} else {
			high = middle
		}
	}
	r.cursor.offset = low
	return nil
}

// countBack counts the wanted entries of the current segment, from ever further
// before its end until there are enough, and moves the reader there.
func (r *reader) countBack(enough int) (int, error) {
	info, err := r.cursor.file.Stat()
	if err != nil {
		return 0, err
	}
	start := r.cursor.offset
	for window := int64(64 << 10); window < info.Size()-start && window <= 4<<20; window *= 8 {
		offset, ok := r.format.boundary(r.cursor.file, info.Size(), window)
		if !ok {
			break
		}
		r.cursor.offset = offset
		if n, err := r.count(); n >= enough || err != nil {
			return n, err
		}
	}
	r.cursor.offset = start
	return r.count()
}

// count counts the wanted entries of the current segment.
func (r *reader) count() (n int, err error) {
	c := r.cursor
	for {
		m, err := c.next()
		if err == io.EOF || errors.Is(err, errTorn) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if r.options.wants(m) && !r.late(m) {
			n++
		}
	}
}

func (r *reader) late(m Message) bool {
	return !r.options.Until.IsZero() && m.Time.After(r.options.Until)
}

// open makes s the current segment; false if its path is another file by now.
func (r *reader) open(s segment) (bool, error) {
	f, err := os.Open(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	info, err := f.Stat()
	if err != nil || !os.SameFile(info, s.info) {
		f.Close()
		return false, err
	}
	r.close()
	r.cursor = cursor{format: r.format, file: f, offset: int64(len(r.format.header()))}
	return true, nil
}

// run yields what there is, and in follow mode what comes.
func (r *reader) run(ctx context.Context, skip int, yield func(Message) error) error {
	for {
		// Asked before the read: what was written before Done is then seen.
		done := !r.options.Follow || closed(r.options.Done)
		if err := r.drain(ctx, &skip, yield); err != nil || r.ended {
			return err
		}
		moved, err := r.advance(ctx, &skip, yield)
		if err != nil || r.ended {
			return err
		}
		if moved {
			continue
		}
		if done {
			return nil
		}
		if r.options.Idle != nil {
			if err := r.options.Idle(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.options.Done:
		case <-r.changed:
		}
	}
}

// drain yields the rest of the current segment.
func (r *reader) drain(ctx context.Context, skip *int, yield func(Message) error) error {
	if r.cursor.file == nil {
		return nil
	}
	for ctx.Err() == nil {
		m, err := r.cursor.next()
		if err == io.EOF || errors.Is(err, errTorn) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.late(m) {
			r.ended = true
			return nil
		}
		if !r.options.wants(m) {
			continue
		}
		if *skip > 0 {
			*skip--
			continue
		}
		if err := yield(m); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// advance goes to the segment behind the current one, after reading what the
// writer had appended before it left that one.
func (r *reader) advance(ctx context.Context, skip *int, yield func(Message) error) (bool, error) {
	for {
		segments, err := stable(r.format, r.dir)
		if errors.Is(err, os.ErrNotExist) {
			return false, nil // the log was removed
		}
		if err != nil {
			return false, err
		}
		next, ok, err := r.successor(segments)
		if err != nil || !ok {
			return false, err
		}
		if err := r.drain(ctx, skip, yield); err != nil || r.ended {
			return false, err
		}
		if ok, err := r.open(next); ok || err != nil {
			return ok, err
		}
	}
}

func (r *reader) successor(segments []segment) (segment, bool, error) {
	if len(segments) == 0 {
		return segment{}, false, nil
	}
	if r.cursor.file == nil {
		return segments[0], true, nil
	}
	info, err := r.cursor.file.Stat()
	if err != nil {
		return segment{}, false, err
	}
	for i, s := range segments {
		if os.SameFile(s.info, info) {
			if i+1 == len(segments) {
				return segment{}, false, nil
			}
			return segments[i+1], true, nil
		}
	}
	return segments[0], true, nil
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
