package stream

import (
	"encoding/binary"
	"io"

	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/logs/attributes"
)

// stamp is Docker's: RFC 3339 with all nine digits.
const stamp = "2006-01-02T15:04:05.000000000Z07:00"

// frameHead is the length of a frame's head: stream, three zeros, length.
const frameHead = 8

// LogWriter writes log entries as Docker does: raw with a terminal, else each
// with a header of 8 bytes.
type LogWriter struct {
	W          io.Writer
	TTY        bool
	Timestamps bool
	Details    bool // attributes before the line

	buf  []byte
	open [3]bool // of each stream: the last entry was a piece of a line
}

// Write writes one entry.
func (l *LogWriter) Write(m logs.Message) error {
	l.buf = l.buf[:0]
	if !l.TTY {
		l.buf = append(l.buf, byte(m.Stream), 0, 0, 0, 0, 0, 0, 0)
	}
	if s := int(m.Stream); l.Timestamps && s < len(l.open) {
		if !l.open[s] {
			l.buf = append(m.Time.UTC().AppendFormat(l.buf, stamp), ' ')
		}
		l.open[s] = m.Partial()
	}
	if l.Details {
		l.buf = append(append(l.buf, attributes.Text(m.Attrs)...), ' ')
	}
	l.buf = append(l.buf, m.Line...)
	if !l.TTY {
		binary.BigEndian.PutUint32(l.buf[4:], uint32(len(l.buf)-frameHead))
	}
	_, err := l.W.Write(l.buf)
	return err
}
