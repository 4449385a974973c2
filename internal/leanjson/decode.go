package leanjson

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// unmarshaler is encoding/json's.
type unmarshaler interface{ UnmarshalJSON([]byte) error }

// placed is an error with the place of the value.
type placed struct {
	path string
	err  error
}

func (p *placed) Error() string { return p.path + ": " + p.err.Error() }
func (p *placed) Unwrap() error { return p.err }

// in puts a name before the place of err.
func in(name string, err error) error {
	p, ok := err.(*placed)
	switch {
	case err == nil:
		return nil
	case !ok:
		return &placed{name, err}
	case strings.HasPrefix(p.path, "["):
		p.path = name + p.path
	default:
		p.path = name + "." + p.path
	}
	return p
}

type decoder struct {
	scanner
	known types
}

// Unmarshal reads data, one value, into what v points to.
func Unmarshal(data []byte, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return errors.New("unmarshal into something that is not a pointer")
	}
	d := decoder{scanner{data: data}, types{}}
	if err := d.value(target.Elem()); err != nil {
		return err
	}
	if d.peek() != 0 || d.at < len(data) {
		return d.syntax("something follows the value")
	}
	return nil
}

func (d *decoder) value(v reflect.Value) error {
	c := d.peek()
	if c == 'n' && v.Kind() != reflect.Struct {
		return d.null(v)
	}
	if v.CanAddr() && v.Type().Name() != "" {
		if done, err := d.own(v.Addr().Interface()); done {
			return err
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.value(v.Elem())
	case reflect.Struct:
		return d.structure(v, c)
	case reflect.Map:
		return d.mapping(v, c)
	case reflect.Slice:
		return d.slice(v, c)
	case reflect.Interface:
		x, err := d.any()
		if err == nil && x != nil {
			v.Set(reflect.ValueOf(x))
		}
		return err
	}
	return d.scalar(v, c)
}

// null leaves what cannot be nil as it is.
func (d *decoder) null(v reflect.Value) error {
	if err := d.word("null"); err != nil {
		return err
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		v.SetZero()
	}
	return nil
}

// own lets a type read itself, if it does.
func (d *decoder) own(target any) (done bool, err error) {
	switch t := target.(type) {
	case unmarshaler:
		start := d.at
		if _, err := d.any(); err != nil {
			return true, err
		}
		return true, t.UnmarshalJSON(d.data[start:d.at])
	case encoding.TextUnmarshaler:
		if d.peek() != '"' {
			return true, d.syntax("a string is expected")
		}
		text, err := d.text()
		if err != nil {
			return true, err
		}
		return true, t.UnmarshalText([]byte(text))
	}
	return false, nil
}

func (d *decoder) structure(v reflect.Value, c byte) error {
	if c == 'n' {
		return d.word("null")
	}
	if c != '{' {
		return d.mismatch("an object")
	}
	fields := d.known.of(v.Type())
	var given uint64 // no struct of ours has more fields
	return d.object(func(name string) error {
		i := find(fields, name)
		if i < 0 {
			_, err := d.any()
			return in(name, err)
		}
		if given&(1<<i) != 0 {
			return in(name, errors.New("it is given twice"))
		}
		given |= 1 << i
		return in(name, d.value(v.FieldByIndex(fields[i].index)))
	})
}

func (d *decoder) mapping(v reflect.Value, c byte) error {
	if c != '{' || v.Type().Key().Kind() != reflect.String {
		return d.mismatch("an object")
	}
	m := reflect.MakeMap(v.Type())
	v.Set(m)
	return d.object(func(name string) error {
		key := reflect.ValueOf(name).Convert(m.Type().Key())
		if m.MapIndex(key).IsValid() {
			return in(name, errors.New("it is given twice"))
		}
		element := reflect.New(m.Type().Elem()).Elem()
		if err := d.value(element); err != nil {
			return in(name, err)
		}
		m.SetMapIndex(key, element)
		return nil
	})
}

func (d *decoder) slice(v reflect.Value, c byte) error {
	if c != '[' {
		return d.mismatch("an array")
	}
	// It is not nil even if it is empty.
	v.Set(reflect.MakeSlice(v.Type(), 0, 4))
	return d.array(func() error {
		i := v.Len()
		if i == v.Cap() {
			v.Grow(1)
		}
		v.SetLen(i + 1)
		if err := d.value(v.Index(i)); err != nil {
			return in("["+strconv.Itoa(i)+"]", err)
		}
		return nil
	})
}

func (d *decoder) scalar(v reflect.Value, c byte) error {
	switch v.Kind() {
	case reflect.String:
		if c != '"' {
			return d.mismatch("a string")
		}
		text, err := d.text()
		v.SetString(text)
		return err
	case reflect.Bool:
		word := "false"
		if c == 't' {
			word = "true"
		} else if c != 'f' {
			return d.mismatch("true or false")
		}
		v.SetBool(c == 't')
		return d.word(word)
	}
	if c != '-' && (c < '0' || c > '9') {
		return d.mismatch("a number")
	}
	text, err := d.number()
	if err != nil {
		return err
	}
	return setNumber(v, text)
}

func setNumber(v reflect.Value, text string) error {
	bits := 0
	if v.CanInt() || v.CanUint() || v.CanFloat() {
		bits = v.Type().Bits()
	}
	var err error
	switch {
	case v.CanInt():
		var n int64
		if n, err = strconv.ParseInt(text, 10, bits); err == nil {
			v.SetInt(n)
		}
	case v.CanUint():
		var n uint64
		if n, err = strconv.ParseUint(text, 10, bits); err == nil {
			v.SetUint(n)
		}
	case v.CanFloat():
		var n float64
		if n, err = strconv.ParseFloat(text, bits); err == nil {
			v.SetFloat(n)
		}
	default:
		return fmt.Errorf("a value of type %s cannot be read", v.Type())
	}
	if err != nil {
		return fmt.Errorf("%s is not a number of type %s", text, v.Kind())
	}
	return nil
}

// mismatch is the error for a value of the wrong type; a syntax error comes first.
func (d *decoder) mismatch(want string) error {
	start := d.at
	if _, err := d.any(); err != nil {
		return err
	}
	const few = 40
	text := d.data[start:d.at]
	if len(text) > few {
		text = append(text[:few:few], "…"...)
	}
	return fmt.Errorf("%s is given where %s is expected", text, want)
}
