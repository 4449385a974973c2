package faults

import (
	"fmt"
	"os"
	"strings"

	"github.com/berth-containers/berth/test/harness"
)

func touch(path string) error { return os.WriteFile(path, nil, 0o644) }

// anyCommand reports whether a process of the lab has text in its command line.
func anyCommand(text string) bool {
	for _, pid := range harness.Processes() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(b), text) {
			return true
		}
	}
	return false
}

// corruptFile overwrites the head of a file and keeps the old content beside it.
func corruptFile(path string) error {
	if err := os.Rename(path, path+".good"); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600)
}

func restoreFile(path string) error { return os.Rename(path+".good", path) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
