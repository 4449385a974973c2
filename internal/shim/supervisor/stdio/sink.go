package stdio

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/sys/fifo"
)

// errSpool says that the spool can't take bytes, for want of space.
var errSpool = errors.New("spool is full")

// Sink logs the output of one container, exactly once whatever dies.
//
// Bytes are moved by splice(2) from the pipe to the end of a spool file, so each
// byte is in one of both at any moment. They then are logged; just before, the
// journal says which bytes of the spool go where in the log. After a kill the
// next shim sees by the length of the log whether that was done, and goes on at
// the right byte. The beginning of a line whose end is still to come waits in
// the spool. A terminal can't be spliced into a file: there a read of at most
// 4 KiB may be lost if the kill comes between it and the write into the spool.
type Sink struct {
	logger *slog.Logger

	// mu is held while a chunk is logged: stdout and stderr share the writer
	// and the journal, and the one's order in the log is what waits.
	mu      sync.Mutex
	writer  *logs.Writer
	journal *os.File
	spools  [2]spool
	failing bool
	closed  bool
}

// spool is what was taken out of one pipe. Offsets only grow; what was logged
// is punched out of the file.
type spool struct {
	file   *os.File
	end    int64 // owned by the pump
	logged int64
	freed  int64 // up to where what was logged is punched out
}

// punchBytes is how much of what was logged a spool keeps while a program writes as
// fast as it can; one that pauses leaves nothing.
const punchBytes = 512 << 10

// OpenSink opens the log and, in dir, the journal and the spools of the named
// streams, and repairs what an earlier shim left behind.
func OpenSink(dir string, c logs.Config, log *slog.Logger, streams ...logs.Stream) (*Sink, error) {
	w, err := logs.NewWriter(c)
	if err != nil {
		return nil, err
	}
	s := &Sink{logger: log, writer: w}
	if err := s.open(dir, streams); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Sink) open(dir string, streams []logs.Stream) (err error) {
	const flags = os.O_RDWR | os.O_CREATE
	if s.journal, err = os.OpenFile(filepath.Join(dir, "journal"), flags, 0o600); err != nil {
		return err
	}
	j, err := readJournal(s.journal)
	if err != nil {
		return err
	}
	for _, stream := range streams {
		sp := s.spool(stream)
		sp.file, err = os.OpenFile(filepath.Join(dir, stream.String()+".spool"), flags, 0o600)
		if err != nil {
			return err
		}
		info, err := sp.file.Stat()
		if err != nil {
			return err
		}
		sp.end = info.Size()
		sp.logged = min(j.logged[stream-1], sp.end)
	}
	return s.resolve(j)
}

// resolve finds out whether what the journal announces was done.
func (s *Sink) resolve(j journal) error {
	if j.to == j.from || s.spool(j.stream).file == nil {
		return nil
	}
	n, all, err := s.writer.Recover(j.before, j.after)
	if err != nil {
		return err
	}
	sp := s.spool(j.stream)
	sp.logged = j.from + n
	if all {
		sp.logged = j.to
	}
	return nil
}

func (s *Sink) spool(stream logs.Stream) *spool { return &s.spools[stream-1] }

// take moves what is in the pipe fd to the end of the stream's spool.
func (s *Sink) take(stream logs.Stream, fd int, tty bool) (n int, err error) {
	sp := s.spool(stream)
	if tty {
		n, err = takeTTY(fd, sp)
	} else {
		n, err = fifo.Move(fd, sp.file, sp.end, chunk)
	}
	sp.end += int64(n)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EDQUOT) {
		s.logger.Warn("the exec root can't take output: if the shim is killed now, some may be lost", "error", err)
		return n, errSpool
	}
	return n, err
}

func takeTTY(fd int, sp *spool) (int, error) {
	var buf [4 << 10]byte
	n, err := fifo.Read(fd, buf[:])
	if err != nil {
		return 0, err
	}
	return sp.file.WriteAt(buf[:n], sp.end)
}

// log logs the whole lines in the spool, with flush also what is behind them.
// It returns the last fresh bytes, with room for a header before them, in b.
func (s *Sink) log(stream logs.Stream, b *buffer, fresh int, flush bool) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, buf := s.spool(stream), b.bytes[:]
	pending := int(min(sp.end-sp.logged, int64(len(buf)-header)))
	n, err := sp.file.ReadAt(buf[header:header+pending], sp.logged)
	if err != nil {
		s.failed(fmt.Errorf("read spool: %w", err))
	}
	var used int
	b.messages, used = split(b.messages[:0], buf[header:header+n], stream, flush)
	if used > 0 {
		s.append(stream, b, int64(used), fresh == chunk)
	}
	return buf[n-min(fresh, n) : header+n]
}

// append logs the messages of b, which are the next used bytes of the stream's
// spool; more says that others are about to come.
func (s *Sink) append(stream logs.Stream, b *buffer, used int64, more bool) {
	sp := s.spool(stream)
	s.writer.Lend(b.entries)
	defer func() { b.entries = s.writer.Return() }()
	before, after, err := s.writer.Prepare(b.messages)
	if err == nil {
		j := journal{stream: stream, from: sp.logged, to: sp.logged + used, before: before, after: after}
		j.logged = [2]int64{s.spools[0].logged, s.spools[1].logged}
		if err = j.write(s.journal); err == nil {
			err = s.writer.Commit()
		}
	}
	s.failed(err)
	// A log that can't be written must not stop the container: what does not
	// go in is lost, and said once.
	sp.logged += used
	if more && sp.logged-sp.freed < punchBytes {
		return
	}
	if err := fifo.Forget(sp.file, sp.freed, sp.logged); err != nil {
		s.failed(fmt.Errorf("free spool: %w", err))
	}
	sp.freed = sp.logged
}

// write logs the first n bytes of b at once, without the spool.
func (s *Sink) write(stream logs.Stream, b *buffer, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.messages, _ = split(b.messages[:0], b.bytes[header:header+n], stream, true)
	s.writer.Lend(b.entries)
	s.failed(s.writer.Append(b.messages...))
	b.entries = s.writer.Return()
}

// failed says an error when the log starts to fail, not at each line.
func (s *Sink) failed(err error) {
	if err != nil && !s.failing {
		s.logger.Error("output is not logged", "error", err)
	}
	s.failing = err != nil
}

// Close closes the log.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.writer.Close()
	if s.journal != nil {
		err = errors.Join(err, s.journal.Close())
	}
	for _, sp := range s.spools {
		if sp.file != nil {
			err = errors.Join(err, sp.file.Close())
		}
	}
	return err
}

// split cuts b into lines and pieces of lines, which it adds to messages, and says
// how much it used.
func split(messages []logs.Message, b []byte, stream logs.Stream, flush bool) (_ []logs.Message, used int) {
	now := time.Now()
	for len(b) > 0 {
		n := bytes.IndexByte(b[:min(len(b), logs.MaxLine+1)], '\n') + 1
		switch {
		case n > 0:
		case len(b) >= logs.MaxLine:
			n = logs.MaxLine
		case flush:
			n = len(b)
		default:
			return messages, used
		}
		messages = append(messages, logs.Message{Stream: stream, Time: now, Line: b[:n]})
		b = b[n:]
		used += n
	}
	return messages, used
}
