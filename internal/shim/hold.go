package shim

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/sys/unixsock"
)

// Hold makes the caller the second holder of the shim's pseudo-terminals, pipes
// and pidfds: a shim's death then neither hangs up a terminal, nor ends an
// input, nor loses what is in a pipe, nor an exit status. It ends when the
// connection breaks (ErrUnavailable) or with ctx; called again, of the next
// shim, it first hands over what it kept.
func (c *Client) Hold(ctx context.Context) error {
	conn, err := c.open(ctx, MethodHold, nil, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := c.handOver(conn); err != nil {
		return broken(ctx, err)
	}
	for {
		frame, file, err := ReadHold(conn)
		if err != nil {
			return broken(ctx, err)
		}
		c.hold(frame, file)
		if frame.Op == HoldDrop {
			if err := WriteFrame(conn, HoldFrame{Op: HoldDropped, Seq: frame.Seq}); err != nil {
				return broken(ctx, err)
			}
		}
	}
}

func (c *Client) handOver(conn *net.UnixConn) error {
	c.mu.Lock()
	files := maps.Clone(c.held)
	c.mu.Unlock()
	for key, f := range files {
		if err := WriteHold(conn, HoldFrame{Op: HoldKeep, Key: key}, f); err != nil {
			return err
		}
	}
	return WriteFrame(conn, HoldFrame{Op: HoldDone})
}

func (c *Client) hold(frame HoldFrame, file *unixsock.FD) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch frame.Op {
	case HoldKeep:
		if file != nil {
			c.forget(frame.Key)
			c.held[frame.Key] = *file
		}
	case HoldDrop:
		c.forget(frame.Key)
	}
}

func (c *Client) forget(key string) {
	if h, ok := c.held[key]; ok {
		h.Close()
		delete(c.held, key)
	}
}

// WriteHold sends a frame with a descriptor.
func WriteHold(conn *net.UnixConn, frame HoldFrame, file syscall.Conn) error {
	b, err := EncodeFrame(frame)
	if err != nil {
		return err
	}
	if err := unixsock.Send(conn, b, file); err != nil {
		return fmt.Errorf("hand over %s: %w", frame.Key, err)
	}
	return nil
}

// ReadHold reads a frame; file is nil if no descriptor came with it.
func ReadHold(conn *net.UnixConn) (frame HoldFrame, file *unixsock.FD, err error) {
	var head [4]byte
	var files []unixsock.FD
	for n := 0; n < len(head); {
		m, more, err := unixsock.Receive(conn, head[n:])
		files = append(files, more...)
		if err == nil && m == 0 {
			err = io.EOF
		}
		if err != nil {
			closeAll(files)
			return HoldFrame{}, nil, err
		}
		n += m
	}
	if err := readBody(conn, head, &frame); err != nil {
		closeAll(files)
		return HoldFrame{}, nil, err
	}
	if len(files) == 0 {
		return frame, nil, nil
	}
	closeAll(files[1:])
	return frame, &files[0], nil
}

func closeAll(files []unixsock.FD) {
	for _, f := range files {
		f.Close()
	}
}

// Held returns a file of a descriptor that is held; the caller closes it.
// ErrNotFound: it is not held.
func (c *Client) Held(key string) (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.held[key]
	if !ok {
		return nil, errdefs.ErrNotFound.WithMessage("nothing is held under " + key)
	}
	return h.Dup()
}
