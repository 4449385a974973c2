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

	"github.com/berth-containers/berth/internal/sys/resident"
	"github.com/berth-containers/berth/internal/version"
)

func main() {
	if err := run(os.Args[0], os.Args[1:]); err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "berthd:", err)
		os.Exit(1)
	}
}

const (
	// startLimit is for a start that has thousands of containers to look at.
	startLimit = 2 * time.Minute
	stopLimit  = 15 * time.Second
	// haltLimit leaves systemd's 90 s for a unit room for what comes after.
	haltLimit = time.Minute
)

func run(name string, args []string) error {
	cfg, err := load(name, args)
	switch {
	case err != nil:
		return err
	case cfg.ShowVersion:
		fmt.Println("Berth version", version.Version)
		return nil
	case cfg.Validate:
		fmt.Fprintln(os.Stderr, "configuration OK")
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
	var level slog.LevelVar
	level.Set(cfg.LogLevel)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: &level}))
	for _, w := range cfg.warnings {
		log.Warn(w)
	}
	signals, hangups := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(hangups, syscall.SIGHUP)
	// A log reader that went away must not end the engine.
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	d, err := start(ctx, cfg.Config, log)
	if err != nil {
		return err
	}
	notify("READY=1")
	// What only the start needed goes back to the system.
	debug.FreeOSMemory()
	if err := resident.DropText(); err != nil {
		log.Info("what only the start needed stays in memory", "error", err)
	}
	log.Info("berthd serves the Docker API", "hosts", cfg.Hosts, "version", version.Version)

	for running := true; running; {
		select {
		case <-hangups:
			reload(name, args, &level, log)
		case sig := <-signals:
			log.Info("berthd stops; its containers run on", "signal", sig.String())
			running = false
		case err = <-d.failed:
			running = false
		}
	}
	notify("STOPPING=1")
	go func() {
		<-signals
		os.Exit(1) // asked twice
	}()
	if hostStops(context.Background()) {
		log.Info("the host stops: so do the containers, until it is up again")
		d.halt(log)
	}
	ctx, cancel = context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	return errors.Join(err, d.stop(ctx))
}
