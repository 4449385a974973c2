package forward

import (
	"container/list"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/berth-containers/berth/internal/network/dns/query"
)

const (
	cacheBytes   = 1 << 20
	entryBytes   = 256 // that an entry costs besides its answer
	mostSeconds  = 3600
	mostNegative = 300
	// longest answer that is kept.
	mostKept = 8 << 10
)

// cache keeps answers as long as they live; the ones not asked for longest go
// first when it is full.
type cache struct {
	mu     sync.Mutex
	byKey  map[key]*list.Element // of *entry
	recent list.List             // the last used first
	bytes  int
}

// key is a question as a server sees it.
type key struct {
	scope, name       string
	kind, class       uint16
	edns, do, noCheck bool
}

type entry struct {
	key     key
	answer  answer
	ttls    []uint16 // where the records' lifetimes are
	since   time.Time
	seconds uint32
}

func (e *entry) size() int { return len(e.answer) + len(e.key.name) + entryBytes }

// cacheable is whether the answer to q depends on the key alone.
func cacheable(q *query.Query) bool {
	return q.Recursive() && q.Plain && !q.Options() && q.Class == query.ClassIN
}

func keyOf(q *query.Query, scope string) key {
	return key{scope, q.Name, q.Type, q.Class, q.EDNS, q.DNSSEC, q.NoCheck()}
}

// get returns a copy with what is left of its lifetime.
func (c *cache) get(k key, now time.Time) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.byKey[k]
	if el == nil {
		return nil, false
	}
	e := el.Value.(*entry)
	age := uint32(max(now.Sub(e.since), 0) / time.Second)
	if age >= e.seconds {
		c.remove(el)
		return nil, false
	}
	c.recent.MoveToFront(el)
	a := slices.Clone(e.answer)
	for _, at := range e.ttls {
		left := binary.BigEndian.Uint32(a[at:])
		binary.BigEndian.PutUint32(a[at:], left-min(left, age))
	}
	return a, true
}

func (c *cache) put(k key, a answer, now time.Time) {
	if len(a) > mostKept {
		return
	}
	// The name's labels and the root, type and class.
	question := a.skipName(headerBytes) + 4 - headerBytes
	seconds, ttls := a.lifetime(question)
	if seconds == 0 {
		return
	}
	e := &entry{key: k, answer: slices.Clone(a), ttls: ttls, since: now, seconds: seconds}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil {
		c.byKey = map[key]*list.Element{}
	}
	if el := c.byKey[k]; el != nil {
		c.remove(el)
	}
	c.byKey[k] = c.recent.PushFront(e)
	c.bytes += e.size()
	for c.bytes > cacheBytes {
		c.remove(c.recent.Back())
	}
}

func (c *cache) remove(el *list.Element) {
	e := c.recent.Remove(el).(*entry)
	delete(c.byKey, e.key)
	c.bytes -= e.size()
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byKey, c.bytes = nil, 0
	c.recent.Init()
}
