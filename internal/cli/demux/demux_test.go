package demux

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/moby/moby/api/pkg/stdcopy"
)

func frame(stream byte, text string) string {
	b := make([]byte, 8)
	b[0] = stream
	binary.BigEndian.PutUint32(b[4:], uint32(len(text)))
	return string(b) + text
}

type log struct {
	name string
	all  *strings.Builder
}

func (l log) Write(p []byte) (int, error) {
	l.all.WriteString(l.name + ":" + string(p) + "|")
	return len(p), nil
}

func TestDamage(t *testing.T) {
	for in, want := range map[string]string{frame(3, "no disk"): "no disk", frame(9, "x"): "unrecognized stream: 9", frame(1, "abc")[:9]: io.ErrUnexpectedEOF.Error(), "\x01": io.ErrUnexpectedEOF.Error()} {
		if err := Copy(io.Discard, io.Discard, strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

// FuzzCopy compares with the frames' own reader, however the bytes come.
func FuzzCopy(f *testing.F) {
	f.Add([]byte(frame(1, "a")+frame(2, strings.Repeat("b", 100_000))), 7)
	f.Add([]byte(frame(3, "x")), 1)
	f.Add([]byte(frame(1, "a")+frame(3, "no disk")), 2)
	f.Add([]byte(frame(3, "no disk")[:12]), 2)
	f.Add([]byte(frame(9, "")), 2)
	f.Add([]byte(frame(1, "")+"\x01"), 3)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		var out, errOut, wantOut, wantErr strings.Builder
		err := Copy(&out, &errOut, &slow{in, max(1, size%1000)})
		_, want := stdcopy.StdCopy(&wantOut, &wantErr, strings.NewReader(string(in)))
		cut := errors.Is(err, io.ErrUnexpectedEOF) // no error to the other
		if cut != (want == nil && err != nil) || want != nil && (err == nil || err.Error() != want.Error()) {
			t.Errorf("%v, want %v", err, want)
		}
		if !strings.HasPrefix(out.String(), wantOut.String()) || !strings.HasPrefix(errOut.String(), wantErr.String()) || want == nil && err == nil && (out.String() != wantOut.String() || errOut.String() != wantErr.String()) {
			t.Errorf("%v: %q %q, want %q %q", err, out.String(), errOut.String(), wantOut.String(), wantErr.String())
		}
	})
}

type slow struct {
	in   []byte
	size int
}

func (s *slow) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in[:min(s.size, len(s.in))])
	s.in = s.in[n:]
	return n, nil
}

func TestCopy(t *testing.T) {
	var all strings.Builder
	src, w := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- Copy(log{"out", &all}, log{"err", &all}, src) }()
	io.WriteString(w, frame(1, "a")+frame(1, "b")+frame(2, "c")+frame(1, "d"))
	io.WriteString(w, frame(2, "e")) // taken: what came before was written
	w.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if want := "out:ab|err:c|out:d|err:e|"; all.String() != want {
		t.Errorf("%s, want %s", all.String(), want)
	}
}
