// Package dbus makes method calls over D-Bus and waits for signals: as much of
// the protocol as systemd's manager needs, without reflection, so that it costs a
// process that never calls nothing.
//
// A connection serves one goroutine. Nothing outlives Close.
package dbus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Error is an answer that says no.
type Error struct{ Name, Message string }

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Name
	}
	return e.Message
}

// Is tells whether err is the D-Bus error of that name.
func Is(err error, name string) bool {
	var e *Error
	return errors.As(err, &e) && e.Name == name
}

// Signal is a signal's member and its body as far as it is of basic types.
type Signal struct {
	Interface, Member string
	Body              []any
}

// Conn is a connection to a bus or to a peer.
type Conn struct {
	socket  *os.File
	in      *bufio.Reader
	serial  uint32
	signals []Signal
}

// maxSignals bounds what is kept of signals that nobody waits for yet.
const maxSignals = 1000

// Dial connects to the socket; with bus it says hello to a message bus, without
// it the other side is the peer itself.
func Dial(ctx context.Context, socket string, bus bool) (*Conn, error) {
	n, err := connect(socket)
	if err != nil {
		return nil, fmt.Errorf("connect to D-Bus at %s: %w", socket, err)
	}
	c := &Conn{socket: n, in: bufio.NewReader(n)}
	if err = c.login(ctx); err == nil && bus {
		_, err = c.Call(ctx, Method{"org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello"})
	}
	if err != nil {
		n.Close()
		return nil, fmt.Errorf("connect to D-Bus at %s: %w", socket, err)
	}
	return c, nil
}

// connect does without package net, which takes a short process time to start.
func connect(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err = unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err == nil {
		err = unix.SetNonblock(fd, true) // so that it has deadlines
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.socket.Close() }

// login authenticates by the credentials of the socket. No user is named: inside
// a user namespace the own number is not the one that the other side sees.
func (c *Conn) login(ctx context.Context) error {
	defer c.until(ctx)()
	if _, err := io.WriteString(c.socket, "\x00AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"); err != nil {
		return err
	}
	for range 2 {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return ended(ctx, fmt.Errorf("log in: %w", err))
		}
		switch word, _, _ := strings.Cut(strings.TrimSpace(string(line)), " "); word {
		case "DATA":
		case "OK":
			return nil
		default:
			return fmt.Errorf("log in: refused: %s", strings.TrimSpace(string(line)))
		}
	}
	return errors.New("log in: the answer is not understood")
}

// until lets reads and writes end with ctx.
func (c *Conn) until(ctx context.Context) (stop func()) {
	_ = c.socket.SetDeadline(time.Time{})
	done := make(chan struct{})
	after := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = c.socket.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !after() { // it must not end the next call
			<-done
		}
	}
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Method names what is called, and of whom; a peer has no Destination.
type Method struct{ Destination, Path, Interface, Member string }

// Call makes a method call and returns the answer's body as far as it is of
// basic types. An answer that says no is an *Error.
func (c *Conn) Call(ctx context.Context, m Method, args ...Value) ([]any, error) {
	defer c.until(ctx)()
	c.serial++
	if _, err := c.socket.Write(call(c.serial, m, args)); err != nil {
		return nil, ended(ctx, fmt.Errorf("call %s: %w", m.Member, err))
	}
	for {
		r, err := readMessage(c.in)
		if err != nil {
			return nil, ended(ctx, fmt.Errorf("call %s: %w", m.Member, err))
		}
		switch {
		case r.kind == kindSignal:
			c.keep(r)
		case r.replyTo != c.serial:
		case r.kind == kindReturn:
			return r.body, nil
		case r.kind == kindError:
			e := &Error{Name: r.errorName}
			if len(r.body) > 0 {
				e.Message, _ = r.body[0].(string)
			}
			return nil, fmt.Errorf("call %s: %w", m.Member, e)
		}
	}
}

func (c *Conn) keep(m message) {
	if len(c.signals) < maxSignals {
		c.signals = append(c.signals, Signal{m.iface, m.member, m.body})
	}
}

// Wait returns when a signal is wanted: those that came since the connection was
// made are seen first.
func (c *Conn) Wait(ctx context.Context, wanted func(Signal) bool) error {
	defer c.until(ctx)()
	for {
		for len(c.signals) > 0 {
			s := c.signals[0]
			c.signals = c.signals[1:]
			if wanted(s) {
				return nil
			}
		}
		r, err := readMessage(c.in)
		if err != nil {
			return ended(ctx, fmt.Errorf("wait for a signal: %w", err))
		}
		if r.kind == kindSignal {
			c.keep(r)
		}
	}
}
