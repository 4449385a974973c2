// Package filter is the flag --filter name=value.
package filter

import (
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"strings"
)

// Values is a flag that may be given more than once.
type Values struct{ m map[string]map[string]bool }

func (v *Values) String() string { return "" }

// Type is shown in the help.
func (v *Values) Type() string { return "filter" }

// Set takes name=value.
func (v *Values) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return errors.New("write NAME=VALUE")
	}
	v.Add(strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value))
	return nil
}

// Add is Set in parts.
func (v *Values) Add(name, value string) {
	if v.m == nil {
		v.m = map[string]map[string]bool{}
	}
	if v.m[name] == nil {
		v.m[name] = map[string]bool{}
	}
	v.m[name][value] = true
}

// Has is whether name was given.
func (v *Values) Has(name string) bool { return len(v.m[name]) > 0 }

// Clone is a copy that can be added to.
func (v *Values) Clone() Values {
	c := Values{m: map[string]map[string]bool{}}
	for name, values := range v.m {
		c.m[name] = maps.Clone(values)
	}
	return c
}

// Query adds the filters to a query.
func (v *Values) Query(q url.Values) error {
	if len(v.m) == 0 {
		return nil
	}
	b, err := json.Marshal(v.m)
	if err != nil {
		return err
	}
	q.Set("filters", string(b))
	return nil
}
