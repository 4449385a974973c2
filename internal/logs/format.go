package logs

import (
	"errors"
	"os"
	"slices"
)

// format is how a driver lays out its segments.
type format interface {
	codec
	// list returns the segments, oldest first; the last one is written to.
	list(dir string) ([]segment, error)
	// rotate makes a new, empty last segment, and removes the oldest ones so
	// that at most keep remain.
	rotate(dir string, keep int) (*os.File, error)
	// boundary finds the start of an entry in the last window bytes of f,
	// which has size bytes; false if that can't be had without reading more.
	boundary(f *os.File, size, window int64) (int64, bool)
	// sync finds the first entry that starts in b, which may begin in the middle
	// of one; -1 if none does.
	sync(b []byte) int
}

// codec is how a driver writes its entries.
type codec interface {
	// header is what each segment starts with.
	header() []byte
	// append encodes m at the end of b.
	append(b []byte, m Message) []byte
	// next decodes the entry at the start of b and returns its length; 0 and
	// no error if b ends before the entry does; errTorn and the length of what
	// to skip, or 0 if that is not known. m.Line may point into b.
	next(b []byte) (m Message, n int, err error)
}

// errTorn is what next says of bytes that no entry starts with.
var errTorn = errors.New("not a log entry")

// segment is one file of a log. Files are told apart by inode: rotation renames
// them.
type segment struct {
	path string
	info os.FileInfo
}

// stable lists the segments twice, until no rotation came in between.
func stable(f format, dir string) ([]segment, error) {
	for {
		a, err := f.list(dir)
		if err != nil {
			return nil, err
		}
		b, err := f.list(dir)
		if err != nil {
			return nil, err
		}
		if slices.EqualFunc(a, b, func(x, y segment) bool { return os.SameFile(x.info, y.info) }) {
			return b, nil
		}
	}
}

func statAll(paths []string) ([]segment, error) {
	segments := make([]segment, 0, len(paths))
	for _, path := range paths {
		info, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		segments = append(segments, segment{path, info})
	}
	return segments, nil
}
