// Command berth-shim is the parent of the containers of one engine: it runs
// them, carries their stdio, writes their logs and keeps their exits.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"

	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/shim/supervisor"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/resident"
	"github.com/berth-containers/berth/internal/version"
)

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "berth-shim:", err)
		if errdefs.IsAlreadyExists(err) {
			os.Exit(shim.ExitServed)
		}
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := pflag.NewFlagSet("berth-shim", pflag.ContinueOnError)
	execRoot := flags.String("exec-root", "/run/berth", "directory for the socket and the state of running containers")
	cgroupParent := flags.String("cgroup-parent", "", "cgroup to remove at the end if it is empty")
	runtimeInit := flags.String("runtime-init", "", "path of berth-init (default: beside this binary, then in PATH)")
	showVersion := flags.Bool("version", false, "print the version")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *showVersion {
		fmt.Println("berth-shim", version.Version)
		return nil
	}
	// What lives is less than a MiB, whatever runs; the default lets the heap
	// grow to four before the first collection.
	debug.SetGCPercent(25)
	initPath, err := findInit(*runtimeInit)
	if err != nil {
		return err
	}
	r, err := openRuntime(initPath)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	root, err := filepath.Abs(*execRoot)
	if err != nil {
		return err
	}
	server, err := supervisor.New(root, r, log)
	if err != nil {
		return err
	}
	handleSignals(server, log)
	if err := resident.DropText(); err != nil {
		log.Info("what only the start needed stays in memory", "error", err)
	}
	if err := server.Serve(); err != nil || *cgroupParent == "" {
		return err
	}
	if err := cgroup.Open(*cgroupParent).RemoveEmpty(); err != nil && !errdefs.IsConflict(err) {
		log.Warn("the cgroup parent stays", "error", err)
	}
	return nil
}

// handleSignals ends the shim on SIGTERM or SIGINT only if no container runs:
// their parent is not to be restarted casually.
func handleSignals(server *supervisor.Server, log *slog.Logger) {
	c := make(chan os.Signal, 1)
	// SIGHUP is caught, not ignored: containers would inherit that.
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		for sig := range c {
			if sig == syscall.SIGHUP {
				continue
			}
			if err := server.Shutdown(); err != nil {
				log.Warn("signal is ignored", "signal", sig.String(), "reason", err)
			}
		}
	}()
}

func findInit(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	beside := filepath.Join(filepath.Dir(self), "berth-init")
	if _, err := os.Stat(beside); err == nil {
		return beside, nil
	}
	path, err = exec.LookPath("berth-init")
	if err != nil {
		return "", errors.New("berth-init is neither beside berth-shim nor in PATH: install it or use --runtime-init")
	}
	return path, nil
}
