package store

import (
	"context"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestLeases(t *testing.T) {
	l := newLeases()
	a, b := digest.FromString("a"), digest.FromString("b")
	start := time.Now()
	if err := l.Touch(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if l.claim(a, start) {
		t.Error("claimed what was touched")
	}
	if !l.claim(a, time.Now().Add(time.Second)) {
		t.Error("the grace does not end")
	}
	// A push waits for the removal, or gives up.
	gaveUp, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Touch(gaveUp, a); err == nil {
		t.Error("touched while claimed")
	}
	if _, err := l.Unnamed(gaveUp); err == nil {
		t.Error("went on while something was claimed")
	}
	touched := make(chan error, 1)
	go func() { touched <- l.Touch(t.Context(), a) }()
	l.release(a)
	if err := <-touched; err != nil || !l.held(a, start) {
		t.Errorf("%v", err)
	}
	done, err := l.Unnamed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if l.claim(b, start) {
		t.Error("claimed while a push has no name yet")
	}
	done()
	if !l.claim(b, start) {
		t.Error("not claimed though nobody needs it")
	}
	l.release(b)
	end := l.Begin()
	if wanted := time.Now().Add(time.Hour); !l.since(wanted).Before(wanted) {
		t.Error("a write that runs does not hold back the collection")
	}
	end()
	l.forget(time.Now().Add(time.Hour))
	if len(l.touched) != 0 {
		t.Error("it forgets nothing")
	}
}
