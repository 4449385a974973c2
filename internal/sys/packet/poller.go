package packet

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Poller waits for sockets to have something to read.
type Poller struct {
	file   *os.File
	closed atomic.Bool
	conn   syscall.RawConn
	events [64]unix.EpollEvent
}

// NewPoller makes a Poller without sockets.
func NewPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make poller: %w", err)
	}
	// Non-blocking, so that the runtime's poller takes it.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make poller: %w", err)
	}
	p := &Poller{file: os.NewFile(uintptr(fd), "poller")}
	if p.conn, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, err
	}
	return p, nil
}

// Add has Wait tell of a socket by a token. A socket leaves the poller when it is
// closed and nobody else has it: see Remove.
func (p *Poller) Add(s *Socket, token uint64) error {
	return p.control(s, unix.EPOLL_CTL_ADD, token)
}

// Remove takes a socket out. It is needed before Close if another process has
// the same socket, which else would be told of for ever.
func (p *Poller) Remove(s *Socket) error {
	err := p.control(s, unix.EPOLL_CTL_DEL, 0)
	if errors.Is(err, os.ErrClosed) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func (p *Poller) control(s *Socket, op int, token uint64) error {
	return s.do(func(fd int) error {
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(uint32(token)), Pad: int32(uint32(token >> 32))}
		var failed error
		err := p.conn.Control(func(epoll uintptr) { failed = unix.EpollCtl(int(epoll), op, fd, &ev) })
		if err := errors.Join(err, failed); err != nil {
			return fmt.Errorf("poll socket: %w", err)
		}
		return nil
	})
}

// Wait sleeps until a socket has something and calls f for each that has. A
// socket is told of again until it was read empty. The error is os.ErrClosed
// after Close.
func (p *Poller) Wait(f func(token uint64)) error {
	var n int
	var failed error
	err := p.conn.Read(func(fd uintptr) bool {
		n, failed = unix.EpollWait(int(fd), p.events[:], 0)
		if errors.Is(failed, unix.EINTR) {
			n, failed = 0, nil
		}
		return n > 0 || failed != nil
	})
	if err := errors.Join(err, failed); err != nil {
		if p.closed.Load() {
			return os.ErrClosed
		}
		return fmt.Errorf("wait for sockets: %w", err)
	}
	for _, ev := range p.events[:n] {
		f(uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32)
	}
	return nil
}

// Close ends Wait.
func (p *Poller) Close() error {
	p.closed.Store(true)
	return p.file.Close()
}
