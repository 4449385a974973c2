// Package terminal joins the user's standard streams to those of a process in
// a container.
//
// A terminal is raw while it is joined and is restored whichever way the
// session ends, also by a signal. A crash that Go cannot see (SIGKILL) leaves it
// raw; `reset` helps.
package terminal

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// Of returns the terminal behind a stream, or nil if it is none.
func Of(stream any) *os.File {
	f, ok := stream.(*os.File)
	if !ok || f == nil || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// Size is what the terminal shows; zeros if it does not tell.
func Size(f *os.File) (width, height uint) {
	w, h, err := term.GetSize(int(f.Fd()))
	if err != nil || w < 0 || h < 0 {
		return 0, 0
	}
	return uint(w), uint(h)
}

// Raw makes the terminal pass on every key; restore may be called more than once.
func Raw(f *os.File) (restore func(), err error) {
	state, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("make the terminal raw: %w", err)
	}
	return sync.OnceFunc(func() { _ = term.Restore(int(f.Fd()), state) }), nil
}

// ReadPassword reads a line without showing it.
func ReadPassword(f *os.File) (string, error) {
	b, err := term.ReadPassword(int(f.Fd()))
	return string(b), err
}

// WatchSize tells resize of the size now and after every change, until stop.
func WatchSize(f *os.File, resize func(width, height uint)) (stop func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			if w, h := Size(f); w > 0 && h > 0 {
				resize(w, h)
			}
			select {
			case <-changed:
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(changed)
		close(done)
		wait.Wait()
	}
}
