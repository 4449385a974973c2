package image

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// often is how often a transfer reports its progress.
const often = 100 * time.Millisecond

// teller tells a Progress what happens, one call at a time. A nil teller, or
// one without a Progress, says nothing.
type teller struct {
	mu   sync.Mutex
	tell Progress
}

func (t *teller) event(e Event) {
	if t == nil || t.tell == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell(e)
}

func (t *teller) say(d digest.Digest, status string) {
	t.event(Event{ID: shortID(d), Status: status})
}

// count reports the bytes that go through r as "Downloading".
func (t *teller) count(desc ocispec.Descriptor, r io.Reader, offset int64) io.Reader {
	return t.track(desc, r, offset, "Downloading")
}

func (t *teller) track(desc ocispec.Descriptor, r io.Reader, offset int64, status string) io.Reader {
	if t == nil || t.tell == nil {
		return r
	}
	return &tracked{r: r, t: t, event: Event{ID: shortID(desc.Digest), Status: status, Current: offset, Total: desc.Size}}
}

type tracked struct {
	r     io.Reader
	t     *teller
	event Event
	last  time.Time
}

func (c *tracked) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.event.Current += int64(n)
	if now := time.Now(); now.Sub(c.last) >= often {
		c.last = now
		c.t.event(c.event)
	}
	return n, err
}

// Seek lets a push that broke off start again.
func (c *tracked) Seek(offset int64, whence int) (int64, error) {
	seeker, ok := c.r.(io.Seeker)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	n, err := seeker.Seek(offset, whence)
	c.event.Current = n
	return n, err
}

func shortID(d digest.Digest) string {
	if hex := d.Encoded(); len(hex) > 12 {
		return hex[:12]
	}
	return d.Encoded()
}
