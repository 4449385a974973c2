// Command berth-runtime is an OCI runtime for any engine: it makes containers
// from bundles (see internal/runtime/command).
package main

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/berth-containers/berth/internal/runtime/command"
)

func main() { os.Exit(command.Main(os.Args[1:], initBinary())) }

// initBinary is beside this binary or in PATH.
func initBinary() string {
	const name = "berth-init"
	if self, err := os.Executable(); err == nil {
		path := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return name
}
