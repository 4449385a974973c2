package leanjson

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the stack that a document can make us use.
const maxDepth = 1000

var (
	errEnd   = errors.New("the document ends in the middle of a value")
	errDepth = errors.New("values are nested too deeply")
)

// scanner goes through a document.
type scanner struct {
	data  []byte
	at    int
	depth int
}

func (s *scanner) syntax(what string) error {
	if s.at >= len(s.data) {
		return errEnd
	}
	return fmt.Errorf("%q at byte %d: %s", s.data[s.at], s.at, what)
}

// peek returns the next byte that is no white space; 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) enter() error {
	if s.depth++; s.depth > maxDepth {
		return errDepth
	}
	s.at++ // the bracket
	return nil
}

// next goes to the next member of an object or array that ends with closing;
// false after the last one.
func (s *scanner) next(closing byte, first bool) (bool, error) {
	c := s.peek()
	switch {
	case c == closing && c != 0:
		s.at++
		s.depth--
		return false, nil
	case first:
		return true, nil
	case c != ',':
		return false, s.syntax("a comma or the end is missing")
	}
	s.at++
	if s.peek() == closing {
		return false, s.syntax("a value is missing after the comma")
	}
	return true, nil
}

// name reads a member's name and the colon.
func (s *scanner) name() (string, error) {
	if s.peek() != '"' {
		return "", s.syntax("a name in quotes is missing")
	}
	name, err := s.text()
	if err != nil {
		return "", err
	}
	if s.peek() != ':' {
		return "", s.syntax("the colon after a name is missing")
	}
	s.at++
	return name, nil
}

// word reads true, false or null.
func (s *scanner) word(w string) error {
	if len(s.data)-s.at < len(w) || string(s.data[s.at:s.at+len(w)]) != w {
		return s.syntax("not a value")
	}
	s.at += len(w)
	return nil
}

// number reads a number's text.
func (s *scanner) number() (string, error) {
	start := s.at
	s.skip('-')
	if !s.skip('0') && !s.digits() {
		return "", s.syntax("not a value")
	}
	if s.skip('.') && !s.digits() {
		return "", s.syntax("a digit is missing")
	}
	if s.skip('e') || s.skip('E') {
		if !s.skip('+') {
			s.skip('-')
		}
		if !s.digits() {
			return "", s.syntax("a digit is missing")
		}
	}
	return string(s.data[start:s.at]), nil
}

func (s *scanner) skip(c byte) bool {
	if s.at < len(s.data) && s.data[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.data) && s.data[s.at] >= '0' && s.data[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

// text reads a string. What is not UTF-8 becomes U+FFFD.
func (s *scanner) text() (string, error) {
	s.at++
	start := s.at
	for s.at < len(s.data) {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			return string(s.data[start : s.at-1]), nil
		case c == '\\' || c >= utf8.RuneSelf:
			return s.decoded(append([]byte(nil), s.data[start:s.at]...))
		case c < ' ':
			return "", s.syntax("a control character must be escaped")
		}
		s.at++
	}
	return "", errEnd
}

// decoded reads the rest of a string, of which out is the beginning.
func (s *scanner) decoded(out []byte) (string, error) {
	for s.at < len(s.data) {
		c := s.data[s.at]
		switch {
		case c == '"':
			s.at++
			return string(out), nil
		case c < ' ':
			return "", s.syntax("a control character must be escaped")
		case c == '\\':
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		default:
			r, size := utf8.DecodeRune(s.data[s.at:])
			out = utf8.AppendRune(out, r)
			s.at += size
		}
	}
	return "", errEnd
}

var escapes = [256]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (s *scanner) escape() (rune, error) {
	s.at++
	if s.at >= len(s.data) {
		return 0, errEnd
	}
	c := s.data[s.at]
	if c != 'u' {
		if escapes[c] == 0 {
			return 0, s.syntax("unknown escape")
		}
		s.at++
		return escapes[c], nil
	}
	r, ok := s.hex()
	if !ok {
		return 0, s.syntax("four hexadecimal digits are missing")
	}
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	// The second half must follow; one alone is no character.
	back := s.at
	if s.skip('\\') && s.at < len(s.data) && s.data[s.at] == 'u' {
		if low, ok := s.hex(); ok {
			if r := utf16.DecodeRune(r, low); r != utf8.RuneError {
				return r, nil
			}
		}
	}
	s.at = back
	return utf8.RuneError, nil
}

// hex reads the u of an escape and its four digits.
func (s *scanner) hex() (rune, bool) {
	if len(s.data)-s.at < 5 {
		return 0, false
	}
	digits := s.data[s.at+1 : s.at+5]
	for _, c := range digits {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(string(digits), 16, 32)
	s.at += 5
	return rune(n), err == nil
}

// any reads a value of whatever type.
func (s *scanner) any() (any, error) {
	switch c := s.peek(); c {
	case '{':
		m := map[string]any{}
		err := s.object(func(name string) error {
			if _, twice := m[name]; twice {
				return fmt.Errorf("%q is given twice", name)
			}
			v, err := s.any()
			m[name] = v
			return err
		})
		return m, err
	case '[':
		list := []any{}
		err := s.array(func() error {
			v, err := s.any()
			list = append(list, v)
			return err
		})
		return list, err
	case '"':
		return s.text()
	case 't':
		return true, s.word("true")
	case 'f':
		return false, s.word("false")
	case 'n':
		return nil, s.word("null")
	}
	text, err := s.number()
	if err != nil {
		return nil, err
	}
	return strconv.ParseFloat(text, 64)
}

// object calls member for each member, whose value it must read.
func (s *scanner) object(member func(name string) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := s.next('}', first)
		if err != nil || !more {
			return err
		}
		name, err := s.name()
		if err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
	}
}

func (s *scanner) array(element func() error) error {
	if err := s.enter(); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := s.next(']', first)
		if err != nil || !more {
			return err
		}
		if err := element(); err != nil {
			return err
		}
	}
}
