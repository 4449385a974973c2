package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
)

// SocketName is the shim's socket in its exec root.
const SocketName = "shim.sock"

// Socket is the path of the shim's socket.
func Socket(execRoot string) string { return filepath.Join(execRoot, SocketName) }

// ExitServed is the exit code of a shim whose exec root has one.
const ExitServed = 3

const (
	spawnTimeout = 10 * time.Second
	logBytes     = 1 << 20 // shim.log starts anew above it
)

// Spawn starts the shim binary for execRoot in a session of its own, so that it
// outlives the caller, and returns a Client once it answers. args are further
// arguments. If a shim serves the root already, the Client is that one's.
func Spawn(ctx context.Context, binary, execRoot string, args ...string) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, spawnTimeout)
	defer cancel()
	log, err := openLog(filepath.Join(execRoot, "shim.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(binary, append([]string{"--exec-root", execRoot}, args...)...)
	cmd.Dir = "/"
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start shim: %w", err)
	}
	// It is reaped if it ends before the caller does.
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	return awaitSocket(ctx, Socket(execRoot), exited, log.Name())
}

func awaitSocket(ctx context.Context, socket string, exited <-chan error, log string) (*Client, error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := Dial(ctx, socket)
		if err == nil || !errdefs.IsUnavailable(err) {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the shim (see %s): %w", log, ctx.Err())
		case failed := <-exited:
			var exit *exec.ExitError
			if errors.As(failed, &exit) && exit.ExitCode() == ExitServed {
				exited = nil // the other one is about to answer
				continue
			}
			if c, err := Dial(ctx, socket); err == nil {
				return c, nil // another one was first
			}
			return nil, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("the shim ended at once (%v): see %s", failed, log))
		case <-tick.C:
		}
	}
}

func openLog(path string) (*os.File, error) {
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if info, err := os.Stat(path); err == nil && info.Size() > logBytes {
		flags |= os.O_TRUNC
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, flags, 0o600)
}
