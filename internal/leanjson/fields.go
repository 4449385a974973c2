// Package leanjson reads and writes JSON as encoding/json does, without its
// start-up. That package prepares an encoder for every type that can be reached
// from the first one, which for an OCI specification takes longer (0.5–0.9 ms)
// than all that is mounted for the container; here a type is looked at when a
// value of it is met, and a specification is read in a tenth of the time. A
// process that reads one document should use it, a server should not.
//
// What is read is stricter in two things: a name that is given twice is an
// error, and the first value of a wrong type ends the reading. Errors name the
// place of the value, as in "linux.resources.pids.limit". Nothing is kept between two calls.
package leanjson

import (
	"reflect"
	"strings"
)

// field is a member of a struct as JSON has it.
type field struct {
	name      string
	index     []int
	omitEmpty bool
}

// types are the structs that were met in one document.
type types map[reflect.Type][]field

// of lists the fields of struct t, those of embedded structs among them.
func (known types) of(t reflect.Type) []field {
	if list, ok := known[t]; ok {
		return list
	}
	list := appendFields(nil, t, nil)
	known[t] = list
	return list
}

func appendFields(list []field, t reflect.Type, parent []int) []field {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(parent[:len(parent):len(parent)], i)
		tag := f.Tag.Get("json")
		if f.Anonymous && tag == "" && f.Type.Kind() == reflect.Struct {
			list = appendFields(list, f.Type, index)
			continue
		}
		if !f.IsExported() || tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if name == "" {
			name = f.Name
		}
		list = append(list, field{name: name, index: index, omitEmpty: options == "omitempty"})
	}
	return list
}

// find prefers the exact name to one that differs in case.
func find(list []field, name string) int {
	for i := range list {
		if list[i].name == name {
			return i
		}
	}
	for i := range list {
		if strings.EqualFold(list[i].name, name) {
			return i
		}
	}
	return -1
}

// Raw is a part of a document that is kept as it is.
type Raw []byte

// MarshalJSON returns r.
func (r Raw) MarshalJSON() ([]byte, error) {
	if r == nil {
		return []byte("null"), nil
	}
	return r, nil
}

// UnmarshalJSON keeps a copy of text.
func (r *Raw) UnmarshalJSON(text []byte) error {
	*r = append((*r)[:0], text...)
	return nil
}
