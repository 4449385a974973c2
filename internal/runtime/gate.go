package runtime

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/sockpath"
)

// gate holds a created container back before execve.
type gate struct {
	runtime *Runtime
	child   *child
	hooks   bool // the init runs some, which may take long
}

// Start lets the program be executed. On failure the container is gone: its
// init was reaped and its cgroup removed.
func (c *Container) Start() error {
	limit := undoTimeout
	if c.gate.hooks {
		limit = math.MaxInt64
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := c.gate.child.send(wire.Start, nil)
	if err == nil {
		_, err = c.gate.child.listen(ctx)
	}
	if err != nil {
		return errors.Join(err, c.Abort())
	}
	c.Warnings = append(c.Warnings, c.gate.child.warnings...)
	return c.gate.child.conn.Close()
}

// Abort takes a container that was created and not started away again.
func (c *Container) Abort() error {
	if c.Mounts != nil {
		c.Mounts.Close()
	}
	err := errors.Join(c.gate.child.kill(context.Background()), c.removeCgroup())
	if c.uncover != nil {
		err = errors.Join(err, c.uncover(context.Background()))
	}
	return err
}

// Release leaves a container that was created with a Gate to StartThrough; its
// init lives on when the caller ends.
func (c *Container) Release() error { return c.gate.child.conn.Close() }

// StartThrough starts a container that waits at the socket of CreateOptions.Gate.
// Warnings and errors are as with Container.Start, but the init's parent reaps it.
func StartThrough(ctx context.Context, socket string) (warnings []string, err error) {
	conn, err := dial(socket)
	if errors.Is(err, unix.EAGAIN) {
		return nil, errdefs.ErrFailedPrecondition.WithMessage("the container is just being started by another command")
	}
	if err != nil {
		return nil, errdefs.ErrFailedPrecondition.WithMessage("the container does not wait for a start: " + err.Error())
	}
	defer conn.Close()
	// From here on it is this start or the end of the container: if we die, the
	// init sees the end of the connection.
	if err := os.Remove(socket); err != nil {
		return nil, fmt.Errorf("start container: %w", err)
	}
	c := &child{conn: conn}
	if err := c.send(wire.Start, nil); err != nil {
		return nil, fmt.Errorf("start container: %w", err)
	}
	_, err = c.listen(ctx)
	return c.warnings, err
}

// Dismiss ends an init that waits at the socket, if any does.
func Dismiss(socket string) {
	if conn, err := dial(socket); err == nil {
		conn.Close()
	}
}

// goneOr is err, unless the container has ended: then that is the reason.
func goneOr(container *os.File, err error) error {
	if hasEnded(container) {
		return errNotRunning()
	}
	return err
}

func errNotRunning() error {
	return errdefs.ErrFailedPrecondition.WithMessage("the container is not running")
}

func openPidfd(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, errNotRunning()
	}
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	return os.NewFile(uintptr(fd), "container"), nil
}

// NewGate makes the socket for CreateOptions.Gate.
func NewGate(path string) (*os.File, error) {
	// Blocking, since the init accepts; package net's sockets are not.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make start socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), path)
	if err = sockpath.With(path, func(a *unix.SockaddrUnix) error { return unix.Bind(fd, a) }); err == nil {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("make start socket %s: %w", path, err)
	}
	return f, nil
}
