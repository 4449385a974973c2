package filters

import (
	"strings"
	"testing"
	"time"
)

func of(pairs ...string) Filters {
	f := Filters{}
	for _, p := range pairs {
		key, value, _ := strings.Cut(p, ":")
		if f[key] == nil {
			f[key] = map[string]bool{}
		}
		f[key][value] = true
	}
	return f
}

func TestLabels(t *testing.T) {
	labels := map[string]string{"a": "1", "b": ""}
	for _, row := range []struct {
		f    Filters
		want bool
	}{
		{of(), true}, {of("label:a"), true}, {of("label:a=1", "label:b"), true}, {of("label:a=2"), false}, {of("label:c"), false},
		{of("label!:a"), false}, {of("label!:a=2"), true}, {of("label:a", "label!:b="), false},
	} {
		if got := Labels(labels, row.f); got != row.want {
			t.Errorf("%v: %v", row.f, got)
		}
	}
}

func TestUntil(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"10m": now.Add(-10 * time.Minute), "1500": time.Unix(1500, 0), "2029-05-06": time.Date(2029, 5, 6, 0, 0, 0, 0, time.UTC),
		"2029-05-06T07:08:09Z": time.Date(2029, 5, 6, 7, 8, 9, 0, time.UTC), "2029-05-06T07:08:09": time.Date(2029, 5, 6, 7, 8, 9, 0, time.UTC),
	} {
		if got, err := Until(of("until:"+text), now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if got, err := Until(of(), now); err != nil || got != now {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := Until(of("until:x"), now); err == nil || !strings.Contains(err.Error(), "until=x") {
		t.Error(err)
	}
}

func TestOnly(t *testing.T) {
	if err := Only(of("label:a"), "label", "until"); err != nil {
		t.Error(err)
	}
	if err := Only(of("x:a"), "label", "until"); err == nil || err.Error() != "invalid filter 'x': use label, until" {
		t.Error(err)
	}
}
