// Package progress tells what a pull, push or load does, as it goes: seldom
// enough that telling costs the transfer nothing. It keeps nothing.
package progress

import (
	"io"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// often is how often a transfer reports its progress.
const often = 100 * time.Millisecond

// Func is told what a pull, push or load does; the fields are those of
// Docker's JSON stream. It must not block for long.
type Func func(Event)

// Event is one line of progress.
type Event struct {
	ID      string // short digest of the blob, or "" for the whole
	Status  string // "Downloading", "Pull complete" …
	Current int64
	Total   int64
}

// Teller tells a Func what happens, one call at a time. A nil teller, or one
// without a Func, says nothing.
type Teller struct {
	mu   sync.Mutex
	tell Func
}

// To returns a teller to f, which may be nil.
func To(f Func) *Teller { return &Teller{tell: f} }

// Event tells e.
func (t *Teller) Event(e Event) {
	if t == nil || t.tell == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell(e)
}

// Say tells of a blob.
func (t *Teller) Say(d digest.Digest, status string) {
	t.Event(Event{ID: ShortID(d), Status: status})
}

// Count reports the bytes that go through r as "Downloading".
func (t *Teller) Count(desc ocispec.Descriptor, r io.Reader, offset int64) io.Reader {
	return t.Track(desc, r, offset, "Downloading")
}

// Track reports the bytes that go through r under a status.
func (t *Teller) Track(desc ocispec.Descriptor, r io.Reader, offset int64, status string) io.Reader {
	if t == nil || t.tell == nil {
		return r
	}
	return &tracked{r: r, t: t, event: Event{ID: ShortID(desc.Digest), Status: status, Current: offset, Total: desc.Size}}
}

type tracked struct {
	r     io.Reader
	t     *Teller
	event Event
	last  time.Time
}

func (c *tracked) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.event.Current += int64(n)
	if now := time.Now(); now.Sub(c.last) >= often {
		c.last = now
		c.t.Event(c.event)
	}
	return n, err
}

// ShortID is the beginning of a digest that people are shown.
func ShortID(d digest.Digest) string {
	if hex := d.Encoded(); len(hex) > 12 {
		return hex[:12]
	}
	return d.Encoded()
}
