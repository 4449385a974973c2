package restart

import (
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
)

func TestBackoff(t *testing.T) {
	var b Backoff
	for i, tc := range []struct{ ran, want time.Duration }{
		{0, 100 * time.Millisecond},
		{0, 200 * time.Millisecond},
		{9 * time.Second, 400 * time.Millisecond},
		{10 * time.Second, 100 * time.Millisecond},
		{0, 200 * time.Millisecond},
	} {
		if got := b.Next(tc.ran); got != tc.want {
			t.Errorf("%d: %v; want %v", i, got, tc.want)
		}
	}
	for range 20 {
		b.Next(0)
	}
	if got := b.Next(0); got != time.Minute {
		t.Fatal(got)
	}
}

func TestAgain(t *testing.T) {
	policy := func(name container.RestartPolicyMode, n int) container.RestartPolicy {
		return container.RestartPolicy{Name: name, MaximumRetryCount: n}
	}
	for _, tc := range []struct {
		p    container.RestartPolicy
		e    Exit
		want bool
	}{
		{policy("", 0), Exit{Code: 1}, false},
		{policy("no", 0), Exit{Code: 1}, false},
		{policy("always", 0), Exit{}, true},
		{policy("always", 0), Exit{StoppedByUser: true}, false},
		{policy("unless-stopped", 0), Exit{Code: 1}, true},
		{policy("unless-stopped", 0), Exit{StoppedByUser: true}, false},
		{policy("on-failure", 0), Exit{}, false},
		{policy("on-failure", 0), Exit{Code: 1, Count: 100}, true},
		{policy("on-failure", 0), Exit{Code: -1}, true}, // not known is no success
		{policy("on-failure", 2), Exit{Code: 1, Count: 1}, true},
		{policy("on-failure", 2), Exit{Code: 1, Count: 2}, false},
		{policy("on-failure", 0), Exit{Code: 1, StoppedByUser: true}, false},
	} {
		if got := Again(tc.p, tc.e); got != tc.want {
			t.Errorf("%v %+v: %v", tc.p, tc.e, got)
		}
	}
}

func TestAtEngineStart(t *testing.T) {
	for _, tc := range []struct {
		name             container.RestartPolicyMode
		started, stopped bool
		want             bool
	}{
		{"always", true, true, true},
		{"always", false, false, false},
		{"unless-stopped", true, true, false},
		{"unless-stopped", true, false, true},
		{"on-failure", true, false, false},
		{"no", true, false, false},
	} {
		if got := AtEngineStart(container.RestartPolicy{Name: tc.name}, tc.started, tc.stopped); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}
