// Package snapshot keeps the writable layers of containers.
//
// A writable layer is a directory <root>/<key> with fs (overlayfs's upper),
// work, and a file chain that names what lies below. It appears whole, by a
// rename, and goes by a rename into <root>/.gone, whose content is deleted in
// the background. A crash leaves at most directories in .new and .gone, which
// Open deletes. Nothing is fsynced: a layer that a power cut takes is one whose
// container had not been running for long.
package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
)

var validKey = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)

// Layer is a writable layer.
type Layer struct {
	Upper, Work string
	Chain       string // what was given to Create
}

// Writable is the set of writable layers below one directory.
type Writable struct {
	root string
	log  *slog.Logger

	mu      sync.Mutex
	closed  bool
	removes sync.WaitGroup
	slots   chan struct{} // bounds the deletions that run at once
	counter int
}

// Open opens the writable layers below root and deletes what a crash left.
func Open(root string, log *slog.Logger) (*Writable, error) {
	w := &Writable{root: root, log: log, slots: make(chan struct{}, 2)}
	// .gone first: what .new had is then on its way out already.
	for _, dir := range []string{".gone", ".new"} {
		if err := w.collect(filepath.Join(root, dir)); err != nil {
			return nil, fmt.Errorf("collect writable layers: %w", err)
		}
	}
	return w, nil
}

// collect deletes what a crash left in dir, under a name that no removal takes.
func (w *Writable) collect(dir string) error {
	gone := filepath.Join(w.root, ".gone")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.MkdirAll(gone, 0o700)); err != nil {
		return err
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) == 0 {
		return err
	}
	fresh, err := os.MkdirTemp(gone, "left-")
	if err != nil {
		return err
	}
	for _, e := range left {
		if err := os.Rename(filepath.Join(dir, e.Name()), filepath.Join(fresh, e.Name())); err != nil {
			return err
		}
	}
	w.delete(fresh)
	return nil
}

// Create makes the layer key above chain. AlreadyExists if there is one.
func (w *Writable) Create(key, chain string) (Layer, error) {
	if !validKey.MatchString(key) {
		return Layer{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid rootfs key %q", key))
	}
	dir := filepath.Join(w.root, key)
	if _, err := os.Lstat(dir); err == nil {
		return Layer{}, errdefs.ErrAlreadyExists.WithMessage("rootfs already exists: " + key)
	}
	fresh := filepath.Join(w.root, ".new", key)
	if err := build(fresh, chain); err != nil {
		os.RemoveAll(fresh)
		return Layer{}, fmt.Errorf("make rootfs %s: %w", key, err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		os.RemoveAll(fresh)
		return Layer{}, fmt.Errorf("make rootfs %s: %w", key, err)
	}
	return Layer{Upper: filepath.Join(dir, "fs"), Work: filepath.Join(dir, "work"), Chain: chain}, nil
}

func build(dir, chain string) error {
	if err := os.Mkdir(dir, 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "fs"), 0o755); err != nil {
		return err
	}
	// Not subject to the umask: it is the root directory of a container.
	if err := os.Chmod(filepath.Join(dir, "fs"), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "work"), 0o711); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "chain"), []byte(chain), 0o600)
}

// Get returns the layer key, or NotFound.
func (w *Writable) Get(key string) (Layer, error) {
	if !validKey.MatchString(key) {
		return Layer{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid rootfs key %q", key))
	}
	dir := filepath.Join(w.root, key)
	chain, err := os.ReadFile(filepath.Join(dir, "chain"))
	if errors.Is(err, fs.ErrNotExist) {
		return Layer{}, errdefs.ErrNotFound.WithMessage("No such rootfs: " + key)
	}
	if err != nil {
		return Layer{}, fmt.Errorf("read rootfs %s: %w", key, err)
	}
	return Layer{Upper: filepath.Join(dir, "fs"), Work: filepath.Join(dir, "work"), Chain: string(chain)}, nil
}

// Remove takes the layer away at once and deletes its files in the background.
func (w *Writable) Remove(key string) error {
	if !validKey.MatchString(key) {
		return nil
	}
	w.mu.Lock()
	w.counter++
	gone := filepath.Join(w.root, ".gone", fmt.Sprintf("%s-%d-%d", key, os.Getpid(), w.counter))
	w.mu.Unlock()
	err := os.Rename(filepath.Join(w.root, key), gone)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove rootfs %s: %w", key, err)
	}
	w.delete(gone)
	return nil
}

// delete deletes dir in the background, or leaves it to the next Open if the
// set is being closed.
func (w *Writable) delete(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.removes.Go(func() {
		w.slots <- struct{}{}
		defer func() { <-w.slots }()
		if err := os.RemoveAll(dir); err != nil {
			w.log.Warn("delete rootfs", "dir", dir, "error", err)
		}
	})
}

// Keys lists the layers.
func (w *Writable) Keys() ([]string, error) {
	entries, err := os.ReadDir(w.root)
	if err != nil {
		return nil, fmt.Errorf("list rootfs: %w", err)
	}
	var keys []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			keys = append(keys, e.Name())
		}
	}
	return keys, nil
}

// Close waits for the deletions that run.
func (w *Writable) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.removes.Wait()
}
