package records

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/sys/filelock"
)

// Lock takes the data root for this process; the file holds its pid.
func Lock(root string) (*os.File, error) {
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, fmt.Errorf("make the data root: %w", err)
	}
	path := filepath.Join(root, "engine.lock")
	f, err := filelock.Take(path)
	if errors.Is(err, syscall.EAGAIN) {
		pid, readErr := os.ReadFile(path)
		owner := "another engine"
		if text := strings.TrimSpace(string(pid)); readErr == nil && text != "" {
			owner += " (pid " + text + ")"
		}
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("%s uses the data root %s; stop it or choose another with --data-root", owner, root))
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintln(os.Getpid()))); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
	}
	return f, nil
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}
