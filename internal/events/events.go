// Package events tells what happens in the engine, under Docker's names.
//
// A bus keeps the newest events in memory, so that "since" answers for the near
// past; nothing is stored on disk and a restart begins anew. Publishing never
// waits: a listener that does not keep up loses its oldest unread events.
package events

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/filters"
)

// history is how many events are kept, as in Docker.
const history = 256

// backlog is how many events a listener may be behind.
const backlog = 1024

// Bus is a set of listeners and the newest events.
type Bus struct {
	now func() time.Time

	mu        sync.Mutex
	past      []events.Message // oldest first
	listeners map[*listener]struct{}
}

type listener struct {
	queue []events.Message
	wake  chan struct{} // holds one token while the queue is not empty
}

// Query chooses events; a zero time is no bound.
type Query struct {
	Since, Until time.Time
	Filters      map[string]map[string]bool
}

// New returns an empty bus.
func New() *Bus {
	return &Bus{now: time.Now, listeners: map[*listener]struct{}{}}
}

// Publish tells every listener.
func (b *Bus) Publish(typ events.Type, action events.Action, id string, attributes map[string]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.now()
	m := events.Message{
		Type: typ, Action: action, Scope: "local", Time: at.Unix(), TimeNano: at.UnixNano(),
		Actor: events.Actor{ID: id, Attributes: attributes},
	}
	if len(b.past) == history {
		b.past = append(b.past[:0], b.past[1:]...)
	}
	b.past = append(b.past, m)
	for l := range b.listeners {
		l.push(m)
	}
}

func (l *listener) push(m events.Message) {
	if len(l.queue) == backlog {
		l.queue = l.queue[1:]
	}
	l.queue = append(l.queue, m)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Listeners is how many there are.
func (b *Bus) Listeners() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.listeners)
}

// Subscribe yields the kept events that the query chooses if it has a Since or
// an Until, then the live ones. It returns nil at Until, the context's error, or
// what yield returned.
func (b *Bus) Subscribe(ctx context.Context, q Query, yield func(events.Message) error) error {
	if !q.Until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, q.Until)
		defer cancel()
	}
	l := &listener{wake: make(chan struct{}, 1)}
	b.add(l, q)
	defer b.remove(l)
	for {
		for _, m := range b.take(l) {
			if !q.match(m) {
				continue
			}
			if err := yield(m); err != nil {
				return err
			}
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
			if !q.Until.IsZero() && !b.now().Before(q.Until) {
				return nil
			}
			return ctx.Err()
		}
	}
}

func (b *Bus) add(l *listener, q Query) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !q.Since.IsZero() || !q.Until.IsZero() {
		l.queue = append(l.queue, b.past...)
	}
	b.listeners[l] = struct{}{}
}

func (b *Bus) remove(l *listener) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.listeners, l)
}

func (b *Bus) take(l *listener) []events.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := l.queue
	l.queue = nil
	return q
}

func (q Query) match(m events.Message) bool {
	if !q.Since.IsZero() && m.TimeNano < q.Since.UnixNano() {
		return false
	}
	if !q.Until.IsZero() && m.TimeNano > q.Until.UnixNano() {
		return false
	}
	for key, values := range q.Filters {
		if len(values) > 0 && !matchKey(m, key, values) {
			return false
		}
	}
	return true
}

func matchKey(m events.Message, key string, values map[string]bool) bool {
	for v, on := range values {
		if on && matchValue(m, key, v) {
			return true
		}
	}
	return false
}

func matchValue(m events.Message, key, value string) bool {
	action := string(m.Action)
	switch key {
	case "event":
		word, _, _ := strings.Cut(action, ":")
		return action == value || word == value
	case "type":
		return string(m.Type) == value
	case "scope":
		return m.Scope == value
	case "label":
		return filters.HasLabel(m.Actor.Attributes, value)
	case "image":
		return m.Type == events.ImageEventType && matchName(m, value) || m.Actor.Attributes["image"] == value ||
			untagged(m.Actor.Attributes["image"]) == value
	case "daemon":
		return m.Type == events.DaemonEventType && matchName(m, value)
	case "container", "network", "volume", "plugin", "service", "node", "secret", "config":
		return string(m.Type) == key && matchName(m, value)
	}
	return true // as Docker, which passes over what it does not know
}

func matchName(m events.Message, value string) bool {
	name := m.Actor.Attributes["name"]
	return m.Actor.ID == value || name == value || untagged(name) == value ||
		len(value) >= 4 && strings.HasPrefix(m.Actor.ID, value)
}

func untagged(ref string) string {
	slash := strings.LastIndexByte(ref, '/')
	if colon := strings.LastIndexByte(ref, ':'); colon > slash {
		return ref[:colon]
	}
	return ref
}
