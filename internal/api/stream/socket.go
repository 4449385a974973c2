package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/coder/websocket"
	"github.com/containerd/errdefs"
)

// Socket is a client's websocket: what it sends is read as one stream, whatever
// kind its messages have; what is written is one message a write.
type Socket struct {
	ctx  context.Context
	conn *websocket.Conn
	kind websocket.MessageType
	part io.Reader // of a message
}

// Upgrade makes a request a websocket that sends messages of bytes, or of text,
// and ends with the request's context. Pages of other sites are refused. After
// an error nothing was answered.
func Upgrade(w http.ResponseWriter, r *http.Request, text bool) (*Socket, error) {
	c, err := websocket.Accept(quiet{w}, r, nil)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	c.SetReadLimit(-1) // nothing is kept
	s := &Socket{ctx: r.Context(), conn: c, kind: websocket.MessageBinary}
	if text {
		s.kind = websocket.MessageText
	}
	return s, nil
}

// quiet keeps the library from answering errors in a form of its own.
type quiet struct{ http.ResponseWriter }

func (q quiet) Unwrap() http.ResponseWriter { return q.ResponseWriter }

func (q quiet) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		q.ResponseWriter.WriteHeader(status)
	}
}

func (q quiet) Write(p []byte) (int, error) { return len(p), nil }

func (s *Socket) Read(p []byte) (int, error) {
	for {
		if s.part == nil {
			_, part, err := s.conn.Reader(s.ctx)
			if err != nil {
				return 0, io.EOF // the client is gone, in whatever way
			}
			s.part = part
		}
		n, err := s.part.Read(p)
		if err != nil {
			s.part = nil
		}
		if n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return n, nil
		}
	}
}

func (s *Socket) Write(p []byte) (int, error) {
	if err := s.conn.Write(s.ctx, s.kind, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// JoinSocket is Join for a websocket. The client's end is that of the stream:
// a websocket has no half-close.
func JoinSocket(ctx context.Context, s *Socket, p Process, o JoinOptions) {
	stop := context.AfterFunc(ctx, func() { p.Close() })
	defer stop()
	var input sync.WaitGroup
	input.Go(func() {
		buf := make([]byte, inBytes)
		err := copyInput(s, p, o, buf)
		if err == nil && o.Stdin && !o.TTY {
			_ = p.CloseWrite()
		}
		if err != nil && !errors.Is(err, errDetached) { // the process reads no more
			_, _ = io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{s}, buf)
		}
		p.Close()
	})
	src := io.Reader(onlyReader{p})
	if !o.TTY {
		src = &unframer{src: src}
	}
	_, _ = io.CopyBuffer(onlyWriter{s}, src, make([]byte, outBytes))
	p.Close()
	s.Close()
	input.Wait()
}

// Close ends the socket with the good-bye that clients expect.
func (s *Socket) Close() { _ = s.conn.Close(websocket.StatusNormalClosure, "") }

// unframer leaves out the heads of frames: a websocket's client knows none.
type unframer struct {
	src  io.Reader
	left uint32 // of the frame
}

func (u *unframer) Read(p []byte) (int, error) {
	for u.left == 0 {
		var head [frameHead]byte
		if _, err := io.ReadFull(u.src, head[:]); err != nil {
			return 0, io.EOF
		}
		u.left = binary.BigEndian.Uint32(head[4:])
	}
	n, err := u.src.Read(p[:min(len(p), int(u.left))])
	u.left -= uint32(n)
	return n, err
}
