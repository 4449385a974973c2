package stream

import (
	"bytes"
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/logs"
)

// A line that comes in pieces has one time stamp, at its beginning.
func TestTimestampsOfPieces(t *testing.T) {
	var out bytes.Buffer
	w := &LogWriter{W: &out, TTY: true, Timestamps: true}
	at := time.Unix(0, 0)
	for _, m := range []logs.Message{
		{Stream: logs.Stdout, Time: at, Line: []byte("a")},
		{Stream: logs.Stderr, Time: at, Line: []byte("x\n")},
		{Stream: logs.Stdout, Time: at, Line: []byte("b\n")},
		{Stream: logs.Stdout, Time: at, Line: []byte("c\n")},
	} {
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	const s = "1970-01-01T00:00:00.000000000Z "
	if want := s + "a" + s + "x\nb\n" + s + "c\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
