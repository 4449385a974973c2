package snapshot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// ReadFile reads a file as it is seen through the layers, the topmost first, and
// no more than limit bytes of it. A link is followed within its layer only.
// NotExist if there is none.
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
		f, err := root.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			break
		}
		return io.ReadAll(io.LimitReader(f, limit))
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
