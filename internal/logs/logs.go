// Package logs keeps what containers write: drivers "ring" (the default; "local"
// is the same), "json-file" (Docker's format) and "none".
//
// A log is a directory of segments: one file that is appended to, older ones
// that are only read. An entry is one line with its newline, or a piece of a
// line (no newline: longer than MaxLine, or the last words of a program). The
// concatenation of a stream's entries is exactly what the program wrote.
//
// Each Append is one write(2); nothing waits in memory. A crash in the middle
// of it leaves a torn entry at the end, which readers skip and the next writer
// cuts off. Reading needs no writer: it works while nobody writes.
package logs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
)

// Stream says where a line was written to.
type Stream byte

// The streams, numbered as in Docker's frames.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// MaxLine is the longest piece of a line in one entry, as in Docker.
const MaxLine = 16 << 10

// The drivers.
const (
	DriverRing     = "ring"
	DriverJSONFile = "json-file"
	DriverLocal    = "local" // Docker's name of a bounded log: the ring
	DriverNone     = "none"
)

// Config says how and where a container's output is kept.
type Config struct {
	Driver string // "" is ring
	Dir    string // exists, belongs to the driver
	Opts   map[string]string
	Attrs  map[string]string // of each entry of json-file: package attributes
}

// Message is one entry.
type Message struct {
	Stream Stream
	Time   time.Time
	Line   []byte // with its newline; valid until yield returns

	Attrs map[string]string // only when read
}

// Partial is whether the entry is a piece of a line that goes on.
func (m Message) Partial() bool { return len(m.Line) == 0 || m.Line[len(m.Line)-1] != '\n' }

// limits are the options of the drivers that write files.
type limits struct {
	maxBytes int64
	maxFiles int
}

// Validate returns InvalidArgument if the driver or one of its options does
// not exist or has a bad value.
func Validate(driver string, opts map[string]string) error {
	_, _, err := resolve(Config{Driver: driver, Opts: opts})
	return err
}

func resolve(c Config) (format, limits, error) {
	var f format
	lim := limits{maxBytes: 20 << 20, maxFiles: 5}
	switch c.Driver {
	case "", DriverRing, DriverLocal:
		f = ringFormat{}
	case DriverJSONFile:
		attrs, err := encode(c.Attrs)
		if err != nil {
			return nil, lim, err
		}
		f = jsonFormat{attrs}
	case DriverNone:
		if len(c.Opts) > 0 {
			return nil, lim, invalid("log driver none takes no options")
		}
		return nil, lim, nil
	default:
		return nil, lim, invalid("logger: no log driver named '%s' is registered", c.Driver)
	}
	err := lim.parse(c.Driver, c.Opts)
	return f, lim, err
}

func (l *limits) parse(driver string, opts map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(opts)) {
		value := opts[name]
		switch name {
		case "max-size":
			n, err := units.RAMInBytes(value)
			if value == "-1" && driver == DriverJSONFile {
				n, err = -1, nil
			} else if err != nil || n < 1 {
				return invalid("log-opt max-size=%s: use a size such as 10m", value)
			}
			l.maxBytes = n
		case "max-file":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > 1000 {
				return invalid("log-opt max-file=%s: use a number from 1 to 1000", value)
			}
			l.maxFiles = n
		case "compress":
			if _, err := strconv.ParseBool(value); err != nil {
				return invalid("log-opt compress=%s: use true or false", value)
			}
		case "labels", "labels-regex", "env", "env-regex", "tag":
			if driver != DriverJSONFile {
				return unknown(name, driver)
			}
		default:
			return unknown(name, driver)
		}
	}
	return nil
}

func unknown(option, driver string) error {
	return invalid("unknown log opt '%s' for %s log driver", option, cmp.Or(driver, DriverRing))
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// Path is the file that is being written, for inspection; "" without one.
func Path(c Config) string {
	f, _, err := resolve(c)
	if err != nil || f == nil {
		return ""
	}
	segments, err := f.list(c.Dir)
	if err != nil || len(segments) == 0 {
		return ""
	}
	return segments[len(segments)-1].path
}

// trimNumber returns the number in names such as "ring.000012".
func trimNumber(name, prefix string) (int, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n > 0
}
