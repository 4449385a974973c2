package layer

import (
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
)

// LimitOption is the engine's option that sets the limit.
const LimitOption = "image-layer-limit"

// TooLarge is the error of a layer that unpacks to more than its limit.
type TooLarge struct{ Limit int64 }

func (e TooLarge) Error() string {
	return fmt.Sprintf("it unpacks to more than %s; if that is right, start berthd with a larger --%s", units.BytesSize(float64(e.Limit)), LimitOption)
}

// Is makes it an invalid argument.
func (TooLarge) Is(target error) bool { return target == errdefs.ErrInvalidArgument }

// bounded reads r and fails with TooLarge after limit bytes, 0 for none.
func bounded(r io.Reader, limit int64) io.Reader {
	if limit <= 0 {
		return r
	}
	return &boundedReader{r: r, left: limit, limit: limit}
}

type boundedReader struct {
	r           io.Reader
	left, limit int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, TooLarge{b.limit}
	}
	return n, err
}
