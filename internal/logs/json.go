package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"
)

// jsonFormat is that of Docker's json-file driver: json.log is written to,
// json.log.1 is the one before it and so on.
type jsonFormat struct {
	attrs []byte // the field of each entry, with a comma before it
}

// FileName is of the file that json-file writes to.
const FileName = jsonName

const (
	jsonName = "json.log"
	// jsonMost is the longest entry a reader believes: MaxLine, each byte of
	// which may need six, and the rest of the object.
	jsonMost = 1 << 20
)

type jsonEntry struct {
	Log    string            `json:"log"`
	Stream string            `json:"stream"`
	Attrs  map[string]string `json:"attrs"`
	Time   time.Time         `json:"time"`
}

func (jsonFormat) header() []byte { return nil }

func (f jsonFormat) append(b []byte, m Message) []byte {
	b = append(b, `{"log":`...)
	b = appendJSONString(b, m.Line)
	b = append(b, `,"stream":"`...)
	b = append(b, m.Stream.String()...)
	b = append(b, '"')
	b = append(b, f.attrs...)
	b = append(b, `,"time":"`...)
	b = m.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, "\"}\n"...)
}

func appendJSONString(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, `\ufffd`...)
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r < 0x20 || r == '<' || r == '>' || r == '&':
			b = append(b, `\u00`...)
			b = append(b, hex[r>>4], hex[r&15])
		case r == 0x2028 || r == 0x2029:
			b = append(b, `\u202`...)
			b = append(b, hex[r&15])
		default:
			b = append(b, s[:n]...)
		}
		s = s[n:]
	}
	return append(b, '"')
}

func (jsonFormat) next(b []byte) (Message, int, error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		if len(b) > jsonMost {
			return Message{}, 0, errTorn
		}
		return Message{}, 0, nil
	}
	if m, ok := parseJSON(b[:end]); ok {
		return m, end + 1, nil
	}
	var e jsonEntry
	if err := json.Unmarshal(b[:end], &e); err != nil {
		return Message{}, end + 1, errTorn
	}
	m := Message{Stream: Stdout, Time: e.Time, Line: []byte(e.Log), Attrs: e.Attrs}
	if e.Stream == "stderr" {
		m.Stream = Stderr
	}
	return m, end + 1, nil
}

// parseJSON reads an entry as append writes it, without attributes; false for any
// other. It spares most entries a general decoder.
func parseJSON(b []byte) (Message, bool) {
	b, ok := bytes.CutPrefix(b, []byte(`{"log":"`))
	if !ok {
		return Message{}, false
	}
	line, b, ok := parseString(b)
	if !ok {
		return Message{}, false
	}
	if !utf8.Valid(line) {
		return Message{}, false
	}
	m := Message{Stream: Stdout, Line: line}
	if b, ok = bytes.CutPrefix(b, []byte(`,"stream":"std`)); !ok {
		return Message{}, false
	}
	stream, b, ok := bytes.Cut(b, []byte(`","time":"`))
	switch {
	case !ok:
		return Message{}, false
	case string(stream) == "err":
		m.Stream = Stderr
	case string(stream) != "out":
		return Message{}, false
	}
	stamp, ok := bytes.CutSuffix(b, []byte(`"}`))
	if !ok || m.Time.UnmarshalText(stamp) != nil {
		return Message{}, false
	}
	return m, true
}

// parseString reads up to the closing quote; the line is copied if it has escapes.
func parseString(b []byte) (text, rest []byte, ok bool) {
	end := bytes.IndexAny(b, "\"\\")
	if end < 0 {
		return nil, nil, false
	}
	if b[end] == '"' {
		return b[:end], b[end+1:], true
	}
	text = append(make([]byte, 0, len(b)), b[:end]...)
	for b = b[end:]; len(b) > 1; {
		switch b[0] {
		case '"':
			return text, b[1:], true
		case '\\':
			i := bytes.IndexByte([]byte(`nrt"\/`), b[1])
			if i < 0 {
				return nil, nil, false // \u…: the general decoder knows them
			}
			text, b = append(text, "\n\r\t\"\\/"[i]), b[2:]
		default:
			n := bytes.IndexAny(b, "\"\\")
			if n < 0 {
				return nil, nil, false
			}
			text, b = append(text, b[:n]...), b[n:]
		}
	}
	return nil, nil, false
}

func (jsonFormat) sync(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return -1
}

func (jsonFormat) boundary(f *os.File, size, window int64) (int64, bool) {
	b := make([]byte, window)
	if _, err := f.ReadAt(b, size-window); err != nil {
		return 0, false
	}
	i := bytes.IndexByte(b, '\n')
	return size - window + int64(i+1), i >= 0
}

func (jsonFormat) list(dir string) ([]segment, error) {
	numbers, err := jsonNumbers(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, n := range slices.Backward(numbers) {
		paths = append(paths, jsonPath(dir, n))
	}
	return statAll(append(paths, jsonPath(dir, 0)))
}

func jsonPath(dir string, n int) string {
	path := filepath.Join(dir, jsonName)
	if n > 0 {
		path = fmt.Sprintf("%s.%d", path, n)
	}
	return path
}

// jsonNumbers returns the numbers of the rotated files, newest (1) first.
func jsonNumbers(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list log: %w", err)
	}
	var numbers []int
	for _, e := range entries {
		if n, ok := trimNumber(e.Name(), jsonName+"."); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func (f jsonFormat) rotate(dir string, keep int) (*os.File, error) {
	numbers, err := jsonNumbers(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range slices.Backward(numbers) {
		from, to := jsonPath(dir, n), jsonPath(dir, n+1)
		if n >= keep-1 {
			err = os.Remove(from)
		} else {
			err = os.Rename(from, to)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("rotate log: %w", err)
		}
	}
	if keep > 1 {
		if err := os.Rename(jsonPath(dir, 0), jsonPath(dir, 1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("rotate log: %w", err)
		}
	}
	return createSegment(jsonPath(dir, 0), f.header())
}

// encode is the field of an entry that has attributes.
func encode(attrs map[string]string) ([]byte, error) {
	if len(attrs) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(attrs)
	return append([]byte(`,"attrs":`), b...), err
}
