// Package filters reads Docker's filters and matches their values. It is pure.
package filters

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// Filters are for each key the values that were asked for.
type Filters = map[string]map[string]bool

// Parse reads {"name":["a"]} as well as {"name":{"a":true}}; "" is no filters.
func Parse(text string) (Filters, error) {
	f := Filters{}
	if text == "" {
		return f, nil
	}
	if err := json.Unmarshal([]byte(text), &f); err == nil {
		if f == nil { // null
			f = Filters{}
		}
		return f, nil
	}
	var lists map[string][]string
	if err := json.Unmarshal([]byte(text), &lists); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter: " + err.Error())
	}
	f = Filters{}
	for key, values := range lists {
		f[key] = make(map[string]bool, len(values))
		for _, v := range values {
			f[key][v] = true
		}
	}
	return f, nil
}

// Only refuses keys that are none of known.
func Only(f Filters, known ...string) error {
	for key := range f {
		if !slices.Contains(known, key) {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s': use %s", key, strings.Join(known, ", ")))
		}
	}
	return nil
}

// Any is whether ok for one of a key's values, or none was asked for.
func Any(f Filters, key string, ok func(value string) bool) bool {
	return len(f[key]) == 0 || slices.ContainsFunc(slices.Collect(maps.Keys(f[key])), ok)
}

// HasLabel is whether labels have want: KEY, or KEY=VALUE.
func HasLabel(labels map[string]string, want string) bool {
	key, value, exact := strings.Cut(want, "=")
	have, ok := labels[key]
	return ok && (!exact || have == value)
}

// Labels is whether labels have all of f's "label" and none of its "label!".
func Labels(labels map[string]string, f Filters) bool {
	for want := range f["label"] {
		if !HasLabel(labels, want) {
			return false
		}
	}
	for not := range f["label!"] {
		if HasLabel(labels, not) {
			return false
		}
	}
	return true
}

// Until is the time before which things match f's "until"; without that filter
// it is now. A value is a duration before now, seconds since 1970, a time in
// RFC 3339 or a day.
func Until(f Filters, now time.Time) (time.Time, error) {
	until := now
	for text := range f["until"] {
		t, err := moment(text, now)
		if err != nil {
			return until, err
		}
		if t.Before(until) {
			until = t
		}
	}
	return until, nil
}

func moment(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	if sec, err := strconv.ParseFloat(text, 64); err == nil {
		return time.Unix(int64(sec), 0), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
		"invalid filter 'until=%s': use a duration such as 10m, seconds since 1970, or a time in RFC 3339", text))
}
