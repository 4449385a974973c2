// Package syncfs flushes the file system that holds a directory, so that many
// new files become durable by one call.
package syncfs

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Sync returns when everything written so far to dir's file system is on disk.
func Sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncfs %s: %w", dir, err)
	}
	return nil
}
