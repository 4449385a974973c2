package layer

import (
	"io"
	"sync"
)

const (
	aheadBytes = 256 << 10
	aheadDepth = 3
)

// ahead reads a stream a few buffers ahead of who reads it, so that a layer is
// decompressed by one processor and hashed and written by another.
type ahead struct {
	full    chan piece
	free    chan []byte
	stopped chan struct{}
	work    sync.WaitGroup

	now piece // being read
	at  int
}

// piece is bytes of the stream and the error that came after them.
type piece struct {
	b   []byte
	err error
}

// readAhead starts to read r, which the caller leaves alone until close.
func readAhead(r io.Reader) *ahead {
	a := &ahead{full: make(chan piece, aheadDepth), free: make(chan []byte, aheadDepth+2), stopped: make(chan struct{})}
	a.work.Go(func() { a.fill(r) })
	return a
}

// close returns when nothing reads the stream any more.
func (a *ahead) close() {
	close(a.stopped)
	a.work.Wait()
}

func (a *ahead) fill(r io.Reader) {
	for {
		var p piece
		select {
		case p.b = <-a.free:
		default:
			p.b = make([]byte, aheadBytes)
		}
		n := 0
		for n < len(p.b) && p.err == nil {
			var m int
			m, p.err = r.Read(p.b[n:])
			n += m
		}
		p.b = p.b[:n]
		select {
		case a.full <- p:
		case <-a.stopped:
			return
		}
		if p.err != nil {
			return
		}
	}
}

func (a *ahead) Read(b []byte) (int, error) {
	for a.at == len(a.now.b) {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.b != nil {
			a.free <- a.now.b[:cap(a.now.b)]
		}
		a.now, a.at = <-a.full, 0
	}
	n := copy(b, a.now.b[a.at:])
	a.at += n
	return n, nil
}
