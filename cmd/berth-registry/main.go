// Command berth-registry is a registry of one's own.
package main

import (
	"os"

	"github.com/berth-containers/berth/internal/registry/command"
)

func main() { os.Exit(command.Main(os.Args[1:])) }
