package stream

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// Process is the stdio of a process. Its bytes are in the form that the client
// gets them; CloseWrite is the end of its input.
type Process interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// JoinOptions say how a client takes part.
type JoinOptions struct {
	Stdin bool // what the client sends is input; else it is dropped
	// TTY: the end of what the client sends is not the end of input.
	TTY bool
	// DetachKeys end the stream when the client sends them; empty: nothing does.
	DetachKeys []byte
}

const (
	outBytes = 32 << 10
	inBytes  = 4 << 10
	// lastWords is how long a client may go on sending after the process's
	// output has ended: closing a socket with unread bytes is a reset to it.
	lastWords = time.Second
)

// Join copies between client and process until the process's output ends, the
// client is gone or sends the detach keys, or ctx ends. It closes both.
func Join(ctx context.Context, c *Conn, p Process, o JoinOptions) {
	stop := context.AfterFunc(ctx, func() {
		c.Close()
		p.Close()
	})
	defer stop()
	var input sync.WaitGroup
	input.Go(func() {
		if !takeInput(c, p, o) {
			p.Close() // ends the copy below
		}
	})
	_, _ = io.CopyBuffer(onlyWriter{c}, onlyReader{p}, make([]byte, outBytes))
	p.Close()
	c.closing.Store(true)
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(lastWords))
	input.Wait()
	c.Close()
}

// The copies use the given buffer, not methods that bring their own.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// takeInput copies from the client until it sends no more, and returns whether
// it can still be there.
func takeInput(c *Conn, p Process, o JoinOptions) bool {
	buf := make([]byte, inBytes)
	err := copyInput(c, p, o, buf)
	if errors.Is(err, errDetached) {
		return false
	}
	if err != nil { // of the client, or the process reads no more
		if _, err := io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{c}, buf); err != nil {
			return c.closing.Load()
		}
	} else if o.Stdin && !o.TTY {
		_ = p.CloseWrite()
	}
	return !c.waitGone()
}

// copyInput copies what a client sends to where it belongs, until it ends or the
// detach keys come.
func copyInput(client io.Reader, p Process, o JoinOptions, buf []byte) error {
	var dst io.Writer = io.Discard
	if o.Stdin {
		dst = p
	}
	src := client
	if o.Stdin && len(o.DetachKeys) > 0 {
		src = &escape{src: client, keys: o.DetachKeys}
	}
	_, err := io.CopyBuffer(onlyWriter{dst}, onlyReader{src}, buf)
	return err
}
