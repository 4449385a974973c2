package command

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/runtime"
	"github.com/berth-containers/berth/internal/runtime/command/events"
	"github.com/berth-containers/berth/internal/runtime/command/update"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/resctrl"
)

func runUpdate(e *env, flags *flag.FlagSet, args []string) error {
	f := update.New(flags)
	id, s, err := e.named(flags, args)
	if err != nil {
		return err
	}
	if status := s.Status(); status == specs.StateStopped || status == specs.StateCreating {
		return fmt.Errorf("cannot update container %s: it is %s", id, status)
	}
	resources, err := f.Resources(os.Stdin)
	if err != nil {
		return err
	}
	if rdt := f.IntelRdt(); rdt != nil {
		spec, err := s.Config()
		if err != nil {
			return err
		}
		if err := resctrl.Update(resctrl.Root, s.ID, spec.Linux.IntelRdt, rdt); err != nil {
			return fmt.Errorf("--l3-cache-schema, --mem-bw-schema: %w", err)
		}
	}
	if _, err := groupOf(s); err != nil {
		return err
	}
	warnings, err := runtime.Update(context.Background(), s.Cgroup, s.Unit, resources)
	e.log.warnings(warnings)
	return err
}

func runEvents(e *env, flags *flag.FlagSet, args []string) error {
	interval := flags.Duration("interval", 5*time.Second, "time between two statistics")
	once := flags.Bool("stats", false, "print the statistics once")
	id, s, err := e.named(flags, args)
	if err != nil {
		return err
	}
	if *interval <= 0 {
		return fmt.Errorf("--interval %v is not greater than zero", *interval)
	}
	if status := s.Status(); status == specs.StateStopped || status == specs.StateCreating {
		return fmt.Errorf("cannot watch container %s: it is %s", id, status)
	}
	group, err := groupOf(s)
	if err != nil {
		return err
	}
	stats := func() error {
		reading, err := group.Stats()
		if err != nil {
			return err
		}
		return e.printIndented(events.Of(id, reading), "")
	}
	if *once {
		return stats()
	}
	return e.watch(id, group, *interval, stats)
}

// ignoreGone leaves out that the group ended between two readings.
func ignoreGone(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// watch prints until nobody is left in the container.
func (e *env) watch(id string, group *cgroup.Group, interval time.Duration, stats func() error) error {
	ctx, cancel := context.WithCancel(context.Background())
	oom, over := make(chan struct{}), make(chan error, 1)
	go func() {
		over <- group.WatchOOM(ctx, func() {
			select {
			case oom <- struct{}{}:
			case <-ctx.Done():
			}
		})
	}()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		var err error
		select {
		case err := <-over:
			cancel()
			return err
		case <-oom:
			err = e.printIndented(events.OOM(id), "")
		case <-tick.C:
			err = stats()
		}
		if err != nil {
			cancel()
			<-over
			return ignoreGone(err)
		}
	}
}
