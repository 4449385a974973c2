// Command berthd is the engine: it reads its configuration, constructs the
// parts, serves the API and stops. It decides nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	containerdlog "github.com/containerd/log"
	"github.com/spf13/pflag"

	"github.com/berth-containers/berth/internal/config"
	"github.com/berth-containers/berth/internal/version"
)

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "berthd:", err)
		os.Exit(1)
	}
}

const (
	// startLimit is for a start that has thousands of containers to look at.
	startLimit = 2 * time.Minute
	stopLimit  = 15 * time.Second
)

func run(args []string) error {
	cfg, err := config.Load(args)
	if err != nil {
		return err
	}
	if cfg.ShowVersion {
		fmt.Println("Berth version", version.Version)
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("berthd must run as root: it makes namespaces, mounts and networks")
	}
	// The heap is a few MiB that live and short bursts; collecting it earlier
	// costs microseconds and keeps an idle engine near what it needs.
	debug.SetGCPercent(50)
	// The libraries of containerd log what they also return.
	if err := containerdlog.SetLevel("panic"); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel}))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	// A log reader that went away must not end the engine.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	d, err := start(ctx, cfg, log)
	if err != nil {
		return err
	}
	notify("READY=1")
	// What only the start needed goes back to the system.
	debug.FreeOSMemory()
	log.Info("berthd serves the Docker API", "hosts", cfg.Hosts, "version", version.Version)

	select {
	case sig := <-signals:
		log.Info("berthd stops; its containers run on", "signal", sig.String())
	case err = <-d.failed:
	}
	notify("STOPPING=1")
	go func() {
		<-signals
		os.Exit(1) // asked twice
	}()
	ctx, cancel = context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	return errors.Join(err, d.stop(ctx))
}
