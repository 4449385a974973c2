// Command berth-init is the first process of a container: it makes the
// container around itself and turns into its program (see internal/runtime).
// Started as docker-init it is the program's parent instead, forwards signals
// to it and reaps what is left by others.
package main

import (
	"os"
	"path/filepath"

	"github.com/berth-containers/berth/internal/runtime/bootstrap"
	"github.com/berth-containers/berth/internal/runtime/reaper"
)

func main() {
	if filepath.Base(os.Args[0]) == "docker-init" {
		os.Exit(reaper.Main(os.Args[1:]))
	}
	os.Exit(bootstrap.Main())
}
