package cli

import (
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/discover"
	"github.com/berth-containers/berth/internal/cli/env"
)

// BuildElsewhere is `build` for berth, which becomes berth-buildclient then:
// linking it would cost every other command its quick start. args are the whole
// command line.
func BuildElsewhere(args []string) func(*env.Env) *cobra.Command {
	return func(*env.Env) *cobra.Command {
		return &cobra.Command{
			Use: "build [OPTIONS] PATH | URL | -", Short: "Build an image from a Dockerfile", Aliases: []string{"b"},
			DisableFlagParsing: true,
			RunE: func(*cobra.Command, []string) error {
				program, err := discover.Program("berth-buildclient")
				if err != nil {
					return err
				}
				if err := syscall.Exec(program, append([]string{program}, args...), os.Environ()); err != nil {
					return fmt.Errorf("run %s: %w", program, err)
				}
				return nil
			},
		}
	}
}
