package events

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"
)

var errEnough = errors.New("enough")

func seconds(n int64) time.Time { return time.Unix(1000+n, 0) }

// filled has one event a second: 0 start web, 1 exec, 2 die, 3 pull, 4 volume.
func filled() *Bus {
	b := New()
	var at int64
	b.now = func() time.Time { at++; return seconds(at - 1) }
	web := map[string]string{"name": "web", "image": "busybox:latest", "tier": "front"}
	b.Publish(events.ContainerEventType, events.ActionStart, "c1c1c1", web)
	b.Publish(events.ContainerEventType, "exec_create: sh -c x", "c1c1c1", web)
	b.Publish(events.ContainerEventType, events.ActionDie, "c2c2c2", map[string]string{"name": "db", "exitCode": "3"})
	b.Publish(events.ImageEventType, events.ActionPull, "busybox:latest", map[string]string{"name": "busybox"})
	b.Publish(events.VolumeEventType, events.ActionCreate, "data", nil)
	b.now = time.Now
	return b
}

func TestHistoryAndFilters(t *testing.T) {
	for _, tc := range []struct {
		name  string
		since int64
		until int64
		key   string
		value string
		want  string
	}{
		{"all", 0, 9, "", "", "start exec_create: sh -c x die pull create"},
		{"since", 2, 9, "", "", "die pull create"},
		{"until", 0, 1, "", "", "start exec_create: sh -c x"},
		{"type", 0, 9, "type", "image", "pull"},
		{"event", 0, 9, "event", "die", "die"},
		{"event with an argument", 0, 9, "event", "exec_create", "exec_create: sh -c x"},
		{"container by name", 0, 9, "container", "web", "start exec_create: sh -c x"},
		{"container by short ID", 0, 9, "container", "c2c2", "die"},
		{"image without tag", 0, 9, "image", "busybox", "start exec_create: sh -c x pull"},
		{"label", 0, 9, "label", "tier=front", "start exec_create: sh -c x"},
		{"label key", 0, 9, "label", "exitCode", "die"},
		{"volume", 0, 9, "volume", "data", "create"},
		{"scope", 0, 9, "scope", "swarm", ""},
		{"unknown key", 0, 9, "colour", "red", "start exec_create: sh -c x die pull create"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := Query{Since: seconds(tc.since), Until: seconds(tc.until)}
			if tc.key != "" {
				q.Filters = map[string]map[string]bool{tc.key: {tc.value: true}}
			}
			var got []string
			err := filled().Subscribe(t.Context(), q, func(m events.Message) error {
				got = append(got, string(m.Action))
				return nil
			})
			if err != nil || strings.Join(got, " ") != tc.want {
				t.Fatalf("%q, %v; want %q", strings.Join(got, " "), err, tc.want)
			}
		})
	}
}

func TestLive(t *testing.T) {
	b := New()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan error)
	var got []string
	go func() {
		done <- b.Subscribe(ctx, Query{}, func(m events.Message) error {
			if got = append(got, m.Actor.ID); len(got) == 3 {
				return errEnough
			}
			return nil
		})
	}()
	for b.Listeners() == 0 {
		time.Sleep(time.Millisecond)
	}
	for i := range 3 {
		b.Publish(events.ContainerEventType, events.ActionStart, fmt.Sprint(i), nil)
	}
	if err := <-done; !errors.Is(err, errEnough) || strings.Join(got, "") != "012" {
		t.Fatal(got, err)
	}
	if b.Listeners() != 0 {
		t.Fatal("a listener stays")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	b := New()
	for i := range 3 * history {
		b.Publish(events.ContainerEventType, events.ActionStart, fmt.Sprint(i), nil)
	}
	if len(b.past) != history || b.past[0].Actor.ID != fmt.Sprint(2*history) {
		t.Fatal(len(b.past), b.past[0])
	}
}

func TestSlowListenerDoesNotBlock(t *testing.T) {
	b := New()
	l := &listener{wake: make(chan struct{}, 1)}
	b.add(l, Query{})
	for range 2 * backlog {
		b.Publish(events.ContainerEventType, events.ActionStart, "x", nil)
	}
	if n := len(b.take(l)); n != backlog {
		t.Fatal(n)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New().Subscribe(ctx, Query{}, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
