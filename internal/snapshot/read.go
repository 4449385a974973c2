package snapshot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// ReadFile reads a file as it is seen through the layers, the topmost first, and
// no more than limit bytes of it. A link is followed within its layer only.
// NotExist if there is none, or something that is no file.
func ReadFile(layers []string, name string, limit int64) ([]byte, error) {
	var roots []*os.Root
	defer func() {
		for _, r := range roots {
			r.Close()
		}
	}()
	for _, dir := range layers {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, fmt.Errorf("open a layer: %w", err)
		}
		roots = append(roots, root)
	}
	for _, root := range through(roots, path.Dir(name)) {
		info, err := root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if whiteout(info) {
			break
		}
		// What it is, is asked first: a pipe would be waited for, a device do something.
		if info, err = root.Stat(name); err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			break
		}
		f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, limit))
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
