package install

import (
	"errors"
	"io"
	"sync"
)

var errPipeStopped = errors.New("reader has stopped")

// pipe is a pipe with a few buffers, so that writing a blob and unpacking it
// go on side by side. Its memory is bounded by depth × the size of a write.
type pipe struct {
	full    chan []byte
	stopped chan struct{}
	once    sync.Once
	free    chan []byte
	err     error // set before full is closed

	rest, whole []byte
}

const pipeDepth = 8

func newPipe() *pipe {
	return &pipe{full: make(chan []byte, pipeDepth), free: make(chan []byte, pipeDepth+1), stopped: make(chan struct{})}
}

// Write copies b into a buffer, and fails once the reader has stopped.
func (p *pipe) Write(b []byte) (int, error) {
	var buf []byte
	select {
	case buf = <-p.free:
	default:
	}
	buf = append(buf[:0], b...)
	select {
	case <-p.stopped:
		return 0, errPipeStopped
	case p.full <- buf:
		return len(b), nil
	}
}

// end lets the reader see err, or io.EOF for nil, after all that was written.
func (p *pipe) end(err error) {
	if err == nil {
		err = io.EOF
	}
	p.err = err
	close(p.full)
}

// stop makes writes fail: the reader is gone.
func (p *pipe) stop() { p.once.Do(func() { close(p.stopped) }) }

func (p *pipe) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if p.whole != nil {
			select {
			case p.free <- p.whole:
			default:
			}
			p.whole = nil
		}
		buf, ok := <-p.full
		if !ok {
			return 0, p.err
		}
		p.whole, p.rest = buf, buf
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
