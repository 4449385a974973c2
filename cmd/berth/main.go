// Berth is the command line of the container engine berthd.
package main

import (
	"context"
	"os"

	"github.com/berth-containers/berth/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, cli.BuildElsewhere(os.Args[1:])))
}
