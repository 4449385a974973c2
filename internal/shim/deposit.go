package shim

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/sys/unixsock"
)

// Deposit keeps descriptors of the engine in the shim, so that the next engine
// gets them back. What it is told is carried out in the background, and again
// with the next shim. It is no promise: a descriptor that cannot be had has to
// be made anew.
type Deposit struct {
	client *Client
	log    *slog.Logger
	wake   chan struct{}
	done   chan struct{}
	cancel context.CancelFunc

	mu        sync.Mutex
	kept      map[string]syscall.Conn
	found     map[string]unixsock.FD // of an earlier engine
	connected bool
	queue     []deposited // while connected
}

type deposited struct {
	frame HoldFrame
	file  syscall.Conn // of a Keep
}

// OpenDeposit finds what an earlier engine left.
func (c *Client) OpenDeposit(ctx context.Context, log *slog.Logger) (*Deposit, error) {
	d := &Deposit{client: c, log: log, wake: make(chan struct{}, 1), done: make(chan struct{}),
		kept: map[string]syscall.Conn{}, found: map[string]unixsock.FD{}}
	conn, err := d.connect(ctx)
	if err != nil && !depositRefused(err) {
		return nil, err
	}
	ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() { defer close(d.done); d.run(ctx, conn) }()
	return d, nil
}

// depositRefused is the answer of a shim that is older than the engine, which
// works without a deposit until that shim is replaced.
func depositRefused(err error) bool {
	return errdefs.IsInvalidArgument(err) || errdefs.IsNotImplemented(err)
}

// connect reads what the shim has.
func (d *Deposit) connect(ctx context.Context) (*net.UnixConn, error) {
	conn, err := d.client.open(ctx, MethodDeposit, nil, nil)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	for {
		frame, fd, err := ReadHold(conn)
		if err != nil {
			conn.Close()
			return nil, broken(ctx, err)
		}
		if frame.Op == HoldDone {
			break
		}
		if fd != nil {
			d.find(frame.Key, *fd)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.connected, d.queue = true, nil
	for key, f := range d.kept {
		d.put(deposited{HoldFrame{Op: HoldKeep, Key: key}, f})
	}
	return conn, nil
}

func (d *Deposit) find(key string, fd unixsock.FD) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, ok := d.found[key]; ok {
		old.Close()
	}
	d.found[key] = fd
}

const (
	depositFirst = 10 * time.Millisecond
	depositMost  = 30 * time.Second
)

// run carries out what is queued, with one shim after the other.
func (d *Deposit) run(ctx context.Context, conn *net.UnixConn) {
	pause := depositFirst
	for {
		if conn != nil {
			d.serve(ctx, conn)
			pause = depositFirst
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		var err error
		if conn, err = d.connect(ctx); err != nil && ctx.Err() == nil {
			pause = min(2*pause, depositMost)
			d.log.Debug("deposit descriptors in the shim", "error", err, "again in", pause)
		}
	}
}

// serve returns when the connection breaks, or when ctx ends and all was said.
func (d *Deposit) serve(ctx context.Context, conn *net.UnixConn) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		conn.Read(make([]byte, 1)) // the shim says nothing more
	}()
	for ended := false; ; {
		ok := d.send(conn)
		if !ok || ended {
			break
		}
		select {
		case <-d.wake:
		case <-gone:
			ended = true
		case <-ctx.Done():
			ended = true // once more, for what was queued meanwhile
		}
	}
	d.mu.Lock()
	d.connected, d.queue = false, nil
	d.mu.Unlock()
	// The shim hangs up when it has read all.
	conn.CloseWrite()
	conn.SetReadDeadline(time.Now().Add(depositTimeout))
	<-gone
	conn.Close()
}

// send sends what is queued; false: the connection has ended.
func (d *Deposit) send(conn *net.UnixConn) bool {
	d.mu.Lock()
	queue := d.queue
	d.queue = nil
	d.mu.Unlock()
	for _, item := range queue {
		conn.SetWriteDeadline(time.Now().Add(depositTimeout))
		var err error
		if item.file == nil {
			err = WriteFrame(conn, item.frame)
		} else {
			err = WriteHold(conn, item.frame, item.file)
		}
		// A file that was closed meanwhile needs no keeping.
		if err != nil && !errors.Is(err, os.ErrClosed) && !errors.Is(err, net.ErrClosed) {
			return false
		}
	}
	return true
}

// depositTimeout is how long the shim may take to take one frame.
const depositTimeout = 5 * time.Second

// Keep has the shim keep a copy of file, which the caller goes on to use.
func (d *Deposit) Keep(key string, file syscall.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept[key] = file
	d.put(deposited{HoldFrame{Op: HoldKeep, Key: key}, file})
}

// Drop takes it back; what is not kept is no error.
func (d *Deposit) Drop(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f, ok := d.found[key]; ok {
		f.Close()
		delete(d.found, key)
	}
	delete(d.kept, key)
	d.put(deposited{frame: HoldFrame{Op: HoldDrop, Key: key}})
}

func (d *Deposit) put(item deposited) {
	if !d.connected {
		return // a connection begins with all that is kept
	}
	d.queue = append(d.queue, item)
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Take is what an earlier engine left under key; nil: nothing. It stays kept.
func (d *Deposit) Take(key string) *os.File {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.found[key]
	if !ok {
		return nil
	}
	delete(d.found, key)
	return f.File()
}

// DropRest takes back what was left and not taken.
func (d *Deposit) DropRest() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, f := range d.found {
		f.Close()
		d.put(deposited{frame: HoldFrame{Op: HoldDrop, Key: key}})
	}
	clear(d.found)
}

// Close ends the connection once what was said is carried out; the shim keeps
// what it has.
func (d *Deposit) Close() {
	d.cancel()
	<-d.done
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.found {
		f.Close()
	}
	clear(d.found)
}
