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
type jsonFormat struct{}

const (
	jsonName = "json.log"
	// jsonMost is the longest entry a reader believes: MaxLine, each byte of
	// which may need six, and the rest of the object.
	jsonMost = 1 << 20
)

type jsonEntry struct {
	Log    string    `json:"log"`
	Stream string    `json:"stream"`
	Time   time.Time `json:"time"`
}

func (jsonFormat) header() []byte { return nil }

func (jsonFormat) append(b []byte, m Message) []byte {
	b = append(b, `{"log":`...)
	b = appendJSONString(b, m.Line)
	b = append(b, `,"stream":"`...)
	b = append(b, m.Stream.String()...)
	b = append(b, `","time":"`...)
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
	var e jsonEntry
	if err := json.Unmarshal(b[:end], &e); err != nil {
		return Message{}, end + 1, errTorn
	}
	m := Message{Stream: Stdout, Time: e.Time, Line: []byte(e.Log)}
	if e.Stream == "stderr" {
		m.Stream = Stderr
	}
	return m, end + 1, nil
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
