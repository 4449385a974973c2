package reclaim

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
)

// Mark is how full is too full: a percentage of the file system of the data
// root, or bytes that the images take. Its zero value is none.
type Mark struct {
	Percent float64
	Bytes   int64
}

// Marks are the two of a collection: it begins above High and ends at Low.
type Marks struct{ High, Low Mark }

// On says if there is anything to watch.
func (m Marks) On() bool { return m.High != Mark{} }

func (m Mark) String() string {
	if m.Bytes > 0 {
		return units.BytesSize(float64(m.Bytes))
	}
	return strconv.FormatFloat(m.Percent, 'f', -1, 64) + "%"
}

// ParseMark reads "85%" or a size such as "50GB"; "" is none.
func ParseMark(text string) (Mark, error) {
	if text == "" {
		return Mark{}, nil
	}
	if number, ok := strings.CutSuffix(text, "%"); ok {
		p, err := strconv.ParseFloat(number, 64)
		if err != nil || !(p > 0 && p < 100) {
			return Mark{}, invalid("%q is not a percentage between 0%% and 100%%", text)
		}
		return Mark{Percent: p}, nil
	}
	n, err := units.RAMInBytes(text)
	if err != nil || n <= 0 {
		return Mark{}, invalid("%q is neither a percentage of the disk, such as 85%%, nor a size of the images, such as 50GB", text)
	}
	return Mark{Bytes: n}, nil
}

// WithLow completes a high mark with a low one, by default nine tenths of it.
func WithLow(high, low Mark) (Marks, error) {
	if high == (Mark{}) {
		if low != (Mark{}) {
			return Marks{}, invalid("there is a low mark, %s, and no high one", low)
		}
		return Marks{}, nil
	}
	if low == (Mark{}) {
		low = Mark{Percent: high.Percent * 9 / 10, Bytes: high.Bytes / 10 * 9}
	}
	if (low.Bytes > 0) != (high.Bytes > 0) {
		return Marks{}, invalid("the low mark %s and the high mark %s are not of one kind: use two percentages or two sizes", low, high)
	}
	if low.Bytes >= high.Bytes && low.Percent >= high.Percent {
		return Marks{}, invalid("the low mark %s is not below the high mark %s", low, high)
	}
	return Marks{High: high, Low: low}, nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
