package stdio

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/sys/fifo"
)

const (
	chunk = 64 << 10 // taken at once; a pipe's default size
	// drainMost is how much is taken after the end of the process: all that a
	// pipe can hold. Children that go on writing don't delay the end.
	drainMost = 1 << 20
)

// Buffers are the buffers of all pumps; one is in use only while bytes move.
type Buffers struct{ pool sync.Pool }

// buffer is what it takes to log one chunk without making anything anew.
type buffer struct {
	bytes    [header + logs.MaxLine + chunk]byte
	messages []logs.Message
	entries  []byte
}

// NewBuffers returns an empty pool.
func NewBuffers() *Buffers { return &Buffers{sync.Pool{New: func() any { return new(buffer) }}} }

func (b *Buffers) get() *buffer { return b.pool.Get().(*buffer) }

func (b *Buffers) put(p *buffer) { b.pool.Put(p) }

// Pump moves the output of a process.
type Pump struct {
	file    *os.File
	stream  logs.Stream
	tty     bool
	hub     *Hub
	sink    *Sink // nil: not logged
	buffers *Buffers

	finishing atomic.Bool
	drained   chan struct{}
	direct    bool // the spool does not work
	lingers   bool // set before drained is closed
}

// NewPump returns a pump of file, a non-blocking pipe or, with tty, terminal,
// which it closes in the end. sink may be nil.
func NewPump(file *os.File, stream logs.Stream, tty bool, hub *Hub, sink *Sink, buffers *Buffers) *Pump {
	return &Pump{file: file, stream: stream, tty: tty, hub: hub, sink: sink, buffers: buffers, drained: make(chan struct{})}
}

// Run moves bytes until the end of the file, and after Finish until what was
// there is drained; then it only takes bytes away until all writers are gone.
func (p *Pump) Run() {
	defer p.file.Close()
	eof := p.carry()
	p.flush()
	p.lingers = !eof && !p.tty
	close(p.drained)
	if p.lingers {
		p.discard()
	}
}

// Finish is called when the process has ended; it returns once all that the
// process had written was logged and sent.
func (p *Pump) Finish() {
	p.finishing.Store(true)
	p.file.SetReadDeadline(time.Unix(1, 0))
	<-p.drained
}

func (p *Pump) carry() (eof bool) {
	if p.sink != nil {
		p.logged(0) // what an earlier shim had taken but not logged
	}
	left := drainMost
	for left > 0 {
		last := p.finishing.Load()
		if last {
			p.file.SetReadDeadline(time.Time{})
		}
		n, err := p.step(last)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, syscall.EAGAIN):
			return false
		case err != nil:
			return true
		case last:
			left -= n
		}
	}
	return false
}

// step takes what is there, or waits for it unless last, and delivers it.
func (p *Pump) step(last bool) (n int, err error) {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	spooled := p.sink != nil && !p.direct
	var buf *buffer
	var failed error
	err = conn.Read(func(fd uintptr) bool {
		if spooled {
			n, failed = p.sink.take(p.stream, int(fd), p.tty)
		} else {
			buf = p.buffers.get()
			n, failed = fifo.Read(int(fd), buf.bytes[header:header+chunk])
			if failed != nil {
				p.buffers.put(buf)
			}
		}
		return last || !errors.Is(failed, syscall.EAGAIN)
	})
	if err != nil {
		return 0, err
	}
	if errors.Is(failed, errSpool) {
		p.direct = true
		return 0, nil
	}
	if failed != nil {
		return 0, failed
	}
	if spooled {
		p.logged(n)
		return n, nil
	}
	if p.sink != nil {
		p.sink.write(p.stream, buf, n)
	}
	p.hub.send(byte(p.stream), buf.bytes[:header+n])
	p.buffers.put(buf)
	return n, nil
}

// logged logs what is in the spool, whose last n bytes are new, and sends those.
func (p *Pump) logged(n int) {
	buf := p.buffers.get()
	defer p.buffers.put(buf)
	frame := p.sink.log(p.stream, buf, n, false)
	p.hub.send(byte(p.stream), frame)
}

func (p *Pump) flush() {
	if p.sink == nil {
		return
	}
	buf := p.buffers.get()
	defer p.buffers.put(buf)
	p.sink.log(p.stream, buf, 0, true)
}

// discard keeps programs that outlive the process (an exec's children) from
// blocking at a full pipe.
func (p *Pump) discard() {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	for err == nil {
		var failed error
		err = conn.Read(func(fd uintptr) bool {
			buf := p.buffers.get()
			defer p.buffers.put(buf)
			_, failed = fifo.Read(int(fd), buf.bytes[:])
			return !errors.Is(failed, syscall.EAGAIN)
		})
		err = errors.Join(err, failed)
	}
}

// Lingers is, after Finish, whether programs that outlive the process still
// have its output open; their bytes are thrown away until Close.
func (p *Pump) Lingers() bool { return p.lingers }

// Close ends a pump that lingers, or never ran.
func (p *Pump) Close() error { return p.file.Close() }
