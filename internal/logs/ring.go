package logs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The ring's format, open to other readers, is described in docs/design/logs.md:
// files ring.000001, ring.000002 …, each ringMagic and then entries of
//
//	uint32 length of the line    little endian, as all numbers
//	uint32 CRC-32C of all that follows but the last field
//	int64  nanoseconds since 1970
//	uint8  stream, 1 stdout or 2 stderr
//	bytes  the line
//	uint32 length of the line again, so that one can read backwards
type ringFormat struct{}

const (
	ringMagic  = "BERTHLOG\x01\x00\x00\x00\x00\x00\x00\x00"
	ringPrefix = "ring."
	ringHead   = 4 + 4 + 8 + 1
	ringFrame  = ringHead + 4
	ringMost   = 1 << 20 // longest line a reader believes
)

func (ringFormat) header() []byte { return []byte(ringMagic) }

func (ringFormat) append(b []byte, m Message) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Line)))
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Time.UnixNano()))
	b = append(b, byte(m.Stream))
	b = append(b, m.Line...)
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(b[start+8:], castagnoli()))
	return binary.LittleEndian.AppendUint32(b, uint32(len(m.Line)))
}

// castagnoli returns the table; the standard library makes it once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func (ringFormat) next(b []byte) (Message, int, error) {
	if len(b) < ringHead {
		return Message{}, 0, nil
	}
	length := binary.LittleEndian.Uint32(b)
	if length > ringMost || (b[16] != byte(Stdout) && b[16] != byte(Stderr)) {
		return Message{}, 0, errTorn
	}
	n := ringFrame + int(length)
	if len(b) < n {
		return Message{}, 0, nil
	}
	sum := crc32.Checksum(b[8:n-4], castagnoli())
	if sum != binary.LittleEndian.Uint32(b[4:]) || binary.LittleEndian.Uint32(b[n-4:]) != length {
		return Message{}, 0, errTorn
	}
	return Message{
		Stream: Stream(b[16]),
		Time:   time.Unix(0, int64(binary.LittleEndian.Uint64(b[8:]))).UTC(),
		Line:   b[ringHead : n-4],
	}, n, nil
}

func (f ringFormat) sync(b []byte) int {
	for i := 0; i+ringFrame <= len(b); i++ {
		if stream := Stream(b[i+16]); stream != Stdout && stream != Stderr {
			continue
		}
		if _, n, err := f.next(b[i:]); err == nil && n > 0 {
			return i
		}
	}
	return -1
}

func (f ringFormat) boundary(file *os.File, size, window int64) (int64, bool) {
	b := make([]byte, window)
	if _, err := file.ReadAt(b, size-window); err != nil {
		return 0, false
	}
	at := len(b)
	for {
		if at < ringFrame {
			break
		}
		n := int64(binary.LittleEndian.Uint32(b[at-4:])) + ringFrame
		if n > int64(at) {
			break
		}
		if _, used, err := f.next(b[at-int(n) : at]); err != nil || int64(used) != n {
			return 0, false // a torn end, or damage
		}
		at -= int(n)
	}
	return size - window + int64(at), at < len(b)
}

func (ringFormat) list(dir string) ([]segment, error) {
	numbers, err := ringNumbers(dir)
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(numbers))
	for i, n := range numbers {
		paths[i] = ringPath(dir, n)
	}
	return statAll(paths)
}

func ringPath(dir string, n int) string {
	return filepath.Join(dir, fmt.Sprintf("%s%06d", ringPrefix, n))
}

func ringNumbers(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list log: %w", err)
	}
	var numbers []int
	for _, e := range entries {
		if n, ok := trimNumber(e.Name(), ringPrefix); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func (f ringFormat) rotate(dir string, keep int) (*os.File, error) {
	numbers, err := ringNumbers(dir)
	if err != nil {
		return nil, err
	}
	last := 0
	if len(numbers) > 0 {
		last = numbers[len(numbers)-1]
	}
	file, err := createSegment(ringPath(dir, last+1), f.header())
	if err != nil {
		return nil, err
	}
	for ; len(numbers) >= keep; numbers = numbers[1:] {
		if err := os.Remove(ringPath(dir, numbers[0])); err != nil && !errors.Is(err, os.ErrNotExist) {
			return file, fmt.Errorf("remove oldest log segment: %w", err)
		}
	}
	return file, nil
}

// createSegment makes the file appear with its header complete.
func createSegment(path string, header []byte) (*os.File, error) {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return nil, fmt.Errorf("make log segment: %w", err)
	}
	if _, err = f.Write(header); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		f.Close()
		return nil, errors.Join(fmt.Errorf("make log segment: %w", err), os.Remove(tmp))
	}
	return f, nil
}

func hasHeader(f *os.File, header []byte) bool {
	b := make([]byte, len(header))
	_, err := f.ReadAt(b, 0)
	return err == nil && bytes.Equal(b, header)
}
