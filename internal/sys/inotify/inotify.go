// Package inotify waits for changes in a directory.
package inotify

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Watcher wakes its caller when a file in a directory was written, made or
// renamed. What changed is for the caller to see: events only wake.
type Watcher struct{ f *os.File }

// Watch starts to watch dir; changes from now on are not missed.
func Watch(dir string) (*Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("start inotify (fs.inotify.max_user_instances is its limit): %w", err)
	}
	const events = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE_SELF
	if _, err := unix.InotifyAddWatch(fd, dir, events); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	return &Watcher{f: os.NewFile(uintptr(fd), "inotify")}, nil
}

// Wait returns when something changed since the last Wait; os.ErrClosed after
// Close.
func (w *Watcher) Wait() error {
	var buf [4096]byte
	_, err := w.f.Read(buf[:])
	if errors.Is(err, os.ErrClosed) {
		return os.ErrClosed
	}
	return err
}

// Close ends the watch and wakes a Wait.
func (w *Watcher) Close() error { return w.f.Close() }
