package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/sys/unixsock"
)

// Client speaks to the shim that listens on a socket. Each call is a connection
// of its own, so a Client stays good when another shim takes the socket over;
// keep it, for it also keeps what Hold was given. Safe for concurrent use.
type Client struct {
	socket string

	mu   sync.Mutex
	held map[string]unixsock.FD
}

// Dial returns a Client of the shim on socket. ErrUnavailable: nobody listens;
// ErrFailedPrecondition: it speaks another version.
func Dial(ctx context.Context, socket string) (*Client, error) {
	c := &Client{socket: socket, held: map[string]unixsock.FD{}}
	if err := c.call(ctx, MethodPing, nil, nil); err != nil {
		return nil, err
	}
	return c, nil
}

// Start runs a container; see StartRequest.
func (c *Client) Start(ctx context.Context, r StartRequest) (StartResponse, error) {
	var answer StartResponse
	err := c.call(ctx, MethodStart, r, &answer)
	return answer, err
}

// Exec runs a process in a container and returns its pid.
func (c *Client) Exec(ctx context.Context, r ExecRequest) (pid int, err error) {
	var answer StartResponse
	err = c.call(ctx, MethodExec, r, &answer)
	return answer.Pid, err
}

// Attach joins a stream to a container or an exec; see AttachRequest.
func (c *Client) Attach(ctx context.Context, r AttachRequest) (*Stream, error) {
	conn, err := c.open(ctx, MethodAttach, r, nil)
	if err != nil {
		return nil, err
	}
	return &Stream{conn}, nil
}

// Signal sends sig to a container's first process or to an exec.
func (c *Client) Signal(ctx context.Context, id, execID string, sig syscall.Signal) error {
	return c.call(ctx, MethodSignal, Target{ID: id, ExecID: execID, Signal: int(sig)}, nil)
}

// Resize sets the size of a terminal.
func (c *Client) Resize(ctx context.Context, id, execID string, width, height uint16) error {
	return c.call(ctx, MethodResize, Target{ID: id, ExecID: execID, Width: width, Height: height}, nil)
}

// Pause freezes a container.
func (c *Client) Pause(ctx context.Context, id string) error {
	return c.call(ctx, MethodPause, Target{ID: id}, nil)
}

// Resume thaws a container.
func (c *Client) Resume(ctx context.Context, id string) error {
	return c.call(ctx, MethodResume, Target{ID: id}, nil)
}

// List returns the containers that run or were not released.
func (c *Client) List(ctx context.Context) ([]Status, error) {
	var answer []Status
	err := c.call(ctx, MethodList, nil, &answer)
	return answer, err
}

// Exits calls f for each exit: first for those that were kept, then for those
// to come. A container's is kept until Release, an exec's until f returned. It
// ends when the connection breaks (ErrUnavailable) or with ctx.
func (c *Client) Exits(ctx context.Context, f func(Exit)) error {
	conn, err := c.open(ctx, MethodExits, nil, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for {
		var e Exit
		if err := ReadFrame(conn, &e); err != nil {
			return broken(ctx, err)
		}
		f(e)
		if err := WriteFrame(conn, struct{}{}); err != nil {
			return broken(ctx, err)
		}
	}
}

// Release lets the shim forget a container that has exited. It is idempotent;
// ErrFailedPrecondition if the container runs.
func (c *Client) Release(ctx context.Context, id string) error {
	return c.call(ctx, MethodRelease, Target{ID: id}, nil)
}

// Shutdown ends the shim; ErrFailedPrecondition while a container runs.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.call(ctx, MethodShutdown, nil, nil)
}

// Close closes the descriptors that the Client holds.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.held {
		c.forget(key)
	}
	return nil
}

func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errdefs.ErrUnavailable.WithMessage("connection to the shim broke: " + err.Error())
}

func (c *Client) call(ctx context.Context, m Method, body, answer any) error {
	conn, err := c.open(ctx, m, body, answer)
	if err != nil {
		return err
	}
	return conn.Close()
}

// open sends a request and reads its response; the connection is then the
// caller's.
func (c *Client) open(ctx context.Context, m Method, body, answer any) (_ *net.UnixConn, err error) {
	request := Request{Version: Version, Method: m}
	if body != nil {
		if request.Body, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("encode %s request: %w", m, err)
		}
	}
	frame, err := EncodeFrame(request)
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, c.socket)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err = exchange(conn, frame, m, answer)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return conn, nil
}

func exchange(conn *net.UnixConn, frame []byte, m Method, answer any) error {
	if _, err := conn.Write(frame); err != nil {
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("send %s request to the shim: %v", m, err))
	}
	var response Response
	if err := ReadFrame(conn, &response); err != nil {
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("read the shim's answer to %s: %v", m, err))
	}
	if response.Version != Version {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"the shim speaks version %d, this engine version %d: stop its containers and restart it", response.Version, Version))
	}
	if response.Error != nil {
		return response.Error.Err()
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(response.Body, answer); err != nil {
		return fmt.Errorf("decode the shim's answer to %s: %w", m, err)
	}
	return nil
}

func dial(ctx context.Context, socket string) (*net.UnixConn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err == nil {
		return conn.(*net.UnixConn), nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("%w: %v", ErrNobody, err)
}

// ErrNobody is the ErrUnavailable of a request that no shim was there to take:
// it can be made again once there is one.
var ErrNobody = errdefs.ErrUnavailable.WithMessage("no shim answers")

// Stream is the stdio of a process: Read is its output, Write its input.
type Stream struct{ conn *net.UnixConn }

// Read reads output; io.EOF after the process ended and all was read.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.conn.Read(p)
	if errors.Is(err, syscall.ECONNRESET) {
		err = io.EOF
	}
	return n, err
}

// Write writes input.
func (s *Stream) Write(p []byte) (int, error) { return s.conn.Write(p) }

// CloseWrite is the end of the input.
func (s *Stream) CloseWrite() error { return s.conn.CloseWrite() }

// Close leaves the process alone.
func (s *Stream) Close() error { return s.conn.Close() }
