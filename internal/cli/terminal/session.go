package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/berth-containers/berth/internal/cli/demux"
)

// Stream is the process's side.
type Stream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// Session is what of the user's side takes part.
type Session struct {
	In       io.Reader // nil: nothing is sent
	Out, Err io.Writer // nil: not shown
	// TTY: the process has a terminal; In, if it is one, is made raw.
	TTY  bool
	Keys []byte // that detach; only with TTY
}

// Killed is a session that a signal ended.
type Killed struct{ Signal syscall.Signal }

func (k *Killed) Error() string { return "ended by the signal " + k.Signal.String() }

// Join copies until the process's output ends or, if none is shown, the user's
// input does. It closes the stream. Detached: the user typed the keys.
func (s Session) Join(ctx context.Context, stream Stream) (detached bool, err error) {
	defer stream.Close()
	stop := context.AfterFunc(ctx, func() { stream.Close() })
	defer stop()
	fatal := make(chan os.Signal, 1)
	if f := Of(s.In); f != nil && s.TTY {
		restore, err := Raw(f)
		if err != nil {
			return false, err
		}
		defer restore()
		signal.Notify(fatal, syscall.SIGTERM, syscall.SIGHUP)
		defer signal.Stop(fatal)
	}
	output := make(chan error, 1)
	go func() { output <- s.show(stream) }()
	input, keys := s.feed(stream)
	if s.Out != nil || s.Err != nil {
		input = nil
	}
	select {
	case err = <-output:
	case <-input:
	case sig := <-fatal:
		err = &Killed{sig.(syscall.Signal)}
	}
	if keys != nil && keys.hit.Load() {
		return true, nil
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return false, err
}

// feed copies the input. A read of the user's input cannot be called off: the
// goroutine ends with the next key or with the process.
func (s Session) feed(stream Stream) (done <-chan struct{}, keys *watch) {
	if s.In == nil {
		return nil, nil
	}
	src := s.In
	if s.TTY {
		keys = &watch{src: s.In, keys: s.Keys}
		src = keys
	}
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(onlyWriter{stream}, onlyReader{src}) // the end of the process ends it, too
		_ = stream.CloseWrite()
	}()
	return end, keys
}

type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

func (s Session) show(stream io.Reader) (err error) {
	out, errOut := s.Out, s.Err
	if out == nil {
		out = io.Discard
	}
	if errOut == nil {
		errOut = io.Discard
	}
	if s.TTY {
		_, err = io.Copy(out, onlyReader{stream})
	} else {
		err = demux.Copy(out, errOut, stream)
	}
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("copy the container's output: %w", err)
	}
	return nil
}
