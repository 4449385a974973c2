// Package command is the command line of berth-registry: serve, and what an
// administrator does beside it. Every option can also be given as a variable
// of the environment: --tls-cert is BERTH_REGISTRY_TLS_CERT.
//
// All that is kept on this machine is below the data directory: the blobs
// (unless they are on S3), the rights file, the secret that signs tokens, the
// lock that keeps a second server out and the control socket. Each is written
// whole or not at all.
package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/berth-containers/berth/internal/version"
)

// Main runs one command and returns the exit code.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "berth-registry:", err)
		return 1
	}
	return 0
}

func newRoot() *cobra.Command {
	var opt options
	root := &cobra.Command{
		Use: "berth-registry", Short: "A registry of one's own", Version: version.Version,
		Long:          "A registry for container images. `berth-registry serve` is all that is needed; it listens on 127.0.0.1:5000 and keeps its data in /var/lib/berth-registry.",
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd.Flags()) },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	opt.common(root.PersistentFlags())
	root.AddCommand(newServe(&opt), newCollect(&opt), newCheck(&opt), newUser(&opt), newKey(&opt))
	return root
}

// fromEnvironment fills in the options that the command line did not say.
func fromEnvironment(flags *pflag.FlagSet) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "BERTH_REGISTRY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if !ok || f.Changed || err != nil {
			return
		}
		if e := flags.Set(f.Name, value); e != nil {
			err = fmt.Errorf("%s=%q: %w", name, value, e)
		}
	})
	return err
}

func printf(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, format, args...)
}
