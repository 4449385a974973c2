// Berth-buildclient is what `berth build` becomes: the part of the command line
// that speaks to BuildKit. It takes the same words as berth.
package main

import (
	"context"
	"os"

	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto" // carries file names that are not UTF-8

	"github.com/berth-containers/berth/internal/cli"
	"github.com/berth-containers/berth/internal/cli/build"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, build.Command(os.Args[1:])))
}
