package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/berth-containers/berth/internal/sys/filelock"
)

// startWait bounds how long the engine may take until it listens: after a
// crash it looks at every container first.
const startWait = 60 * time.Second

// start starts the engine, unless another command is doing that, and connects.
func (e *Endpoint) start(ctx context.Context) (net.Conn, error) {
	dir := filepath.Dir(e.unix)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	var lock *os.File
	var exited <-chan error
	logFile := filepath.Join(dir, "berthd.log")
	for pause := time.Millisecond; ; pause = min(2*pause, 25*time.Millisecond) {
		if lock == nil {
			var err error
			if lock, err = filelock.Take(filepath.Join(dir, "start.lock")); err != nil && !errors.Is(err, syscall.EAGAIN) {
				return nil, fmt.Errorf("start the engine: %w", err)
			}
			if lock != nil {
				defer lock.Close()
			}
		}
		conn, err := e.connect(ctx)
		if err == nil || ctx.Err() == nil && !nobodyListens(err) {
			return conn, e.explain(err)
		}
		if lock != nil && exited == nil {
			if exited, err = spawn(logFile); err != nil {
				return nil, err
			}
		}
		select {
		case err := <-exited:
			return nil, fmt.Errorf("berthd ended (%v) instead of listening at %s; read %s, or start it by hand to see why", err, e.URL, logFile)
		case <-ctx.Done():
			return nil, fmt.Errorf("berthd was started but does not listen at %s yet; read %s, then try again", e.URL, logFile)
		case <-time.After(pause):
		}
	}
}

// spawn starts berthd in a session of its own; the channel tells of its end.
func spawn(logFile string) (<-chan error, error) {
	program, err := Program("berthd")
	if err != nil {
		return nil, fmt.Errorf("no engine runs: %w, or name an engine by --host", err)
	}
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the engine's log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(program)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	exited := make(chan error, 1)
	// The engine outlives this process: nobody waits for this goroutine.
	go func() {
		err := cmd.Wait()
		if err == nil {
			err = errors.New("exit status 0")
		}
		exited <- err
	}()
	return exited, nil
}

// Program finds one of our programs beside this one, or on the PATH.
func Program(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside berth nor on the PATH: install it", name)
	}
	return path, nil
}
