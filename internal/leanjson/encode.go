package leanjson

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

// marshaler is encoding/json's.
type marshaler interface{ MarshalJSON() ([]byte, error) }

type encoder struct {
	out    []byte
	known  types
	indent string // empty: everything on one line
	depth  int
}

// Marshal writes v on one line.
func Marshal(v any) ([]byte, error) { return MarshalIndent(v, "") }

// MarshalIndent writes each member on a line of its own.
func MarshalIndent(v any, indent string) ([]byte, error) {
	e := encoder{known: types{}, indent: indent}
	if err := e.value(reflect.ValueOf(v)); err != nil {
		return nil, err
	}
	return e.out, nil
}

func (e *encoder) value(v reflect.Value) error {
	if !v.IsValid() || (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil() {
		e.out = append(e.out, "null"...)
		return nil
	}
	if v.Type().Name() != "" && v.CanInterface() {
		if done, err := e.own(v.Interface()); done {
			return err
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return e.value(v.Elem())
	case reflect.Struct:
		return e.structure(v)
	case reflect.Map:
		return e.mapping(v)
	case reflect.Slice, reflect.Array:
		return e.list(v)
	case reflect.String:
		e.text(v.String())
	case reflect.Bool:
		e.out = strconv.AppendBool(e.out, v.Bool())
	case reflect.Float32, reflect.Float64:
		e.out = strconv.AppendFloat(e.out, v.Float(), 'g', -1, v.Type().Bits())
	default:
		switch {
		case v.CanInt():
			e.out = strconv.AppendInt(e.out, v.Int(), 10)
		case v.CanUint():
			e.out = strconv.AppendUint(e.out, v.Uint(), 10)
		default:
			return fmt.Errorf("a value of type %s cannot be written", v.Type())
		}
	}
	return nil
}

// own lets a type write itself, if it does.
func (e *encoder) own(v any) (done bool, err error) {
	switch t := v.(type) {
	case marshaler:
		text, err := t.MarshalJSON()
		e.out = append(e.out, text...)
		return true, err
	case encoding.TextMarshaler:
		text, err := t.MarshalText()
		e.text(string(text))
		return true, err
	}
	return false, nil
}

func (e *encoder) structure(v reflect.Value) error {
	next := e.open('{')
	for _, f := range e.known.of(v.Type()) {
		member := v.FieldByIndex(f.index)
		if f.omitEmpty && isEmpty(member) {
			continue
		}
		next()
		e.name(f.name)
		if err := e.value(member); err != nil {
			return in(f.name, err)
		}
	}
	e.close('}')
	return nil
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		return false
	case reflect.Map, reflect.Slice, reflect.Array:
		return v.Len() == 0
	}
	return v.IsZero()
}

func (e *encoder) mapping(v reflect.Value) error {
	if v.IsNil() {
		e.out = append(e.out, "null"...)
		return nil
	}
	members := map[string]reflect.Value{}
	for key, member := range v.Seq2() {
		if key.Kind() != reflect.String {
			return fmt.Errorf("a value of type %s cannot be written", v.Type())
		}
		members[key.String()] = member
	}
	next := e.open('{')
	for _, key := range slices.Sorted(maps.Keys(members)) {
		next()
		e.name(key)
		if err := e.value(members[key]); err != nil {
			return in(key, err)
		}
	}
	e.close('}')
	return nil
}

func (e *encoder) list(v reflect.Value) error {
	if v.Kind() == reflect.Slice && v.IsNil() {
		e.out = append(e.out, "null"...)
		return nil
	}
	next := e.open('[')
	for i := range v.Len() {
		next()
		if err := e.value(v.Index(i)); err != nil {
			return in("["+strconv.Itoa(i)+"]", err)
		}
	}
	e.close(']')
	return nil
}

// open begins an object or array; what it returns begins a member.
func (e *encoder) open(bracket byte) (next func()) {
	e.out = append(e.out, bracket)
	e.depth++
	first := true
	return func() {
		if !first {
			e.out = append(e.out, ',')
		}
		first = false
		e.line()
	}
}

func (e *encoder) close(bracket byte) {
	e.depth--
	if last := e.out[len(e.out)-1]; last != '{' && last != '[' {
		e.line()
	}
	e.out = append(e.out, bracket)
}

func (e *encoder) line() {
	if e.indent == "" {
		return
	}
	e.out = append(e.out, '\n')
	for range e.depth {
		e.out = append(e.out, e.indent...)
	}
}

func (e *encoder) name(name string) {
	e.text(name)
	e.out = append(e.out, ':')
	if e.indent != "" {
		e.out = append(e.out, ' ')
	}
}

const hexDigits = "0123456789abcdef"

func (e *encoder) text(s string) {
	e.out = append(e.out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			e.out = append(e.out, '\\', byte(r))
		case r == '\n':
			e.out = append(e.out, `\n`...)
		case r == '\t':
			e.out = append(e.out, `\t`...)
		case r < ' ' || r == 0x7f:
			e.out = append(e.out, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			e.out = utf8.AppendRune(e.out, r)
		}
	}
	e.out = append(e.out, '"')
}
