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

// init, not main: "all init functions are run on the startup thread", where the
// namespaces, the user and the capabilities must change. To lock the goroutine
// there in main takes one more thread, for the case that the locked one needs
// another: 100 µs of a start's 3 ms.
func init() {
	if filepath.Base(os.Args[0]) != "docker-init" {
		os.Exit(bootstrap.Main())
	}
}

func main() { os.Exit(reaper.Main(os.Args[1:])) }
