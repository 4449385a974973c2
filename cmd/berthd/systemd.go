package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/sys/cgroup/systemd"
)

const (
	// unitRoot is the exec root of the shim that the unit starts.
	unitRoot = "/run/berth"
	shimUnit = "berth-shim.service"
	// unitLimit bounds the wait for systemd's answer, and for the shim it starts.
	unitLimit = 10 * time.Second
)

// underSystemd is whether this process is a unit of systemd's.
func underSystemd() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

// askSystemd asks the manager itself: the message bus may be gone already.
func askSystemd(ctx context.Context, ask func(context.Context, *systemd.Manager) error) error {
	ctx, cancel := context.WithTimeout(ctx, unitLimit)
	defer cancel()
	m, err := systemd.Open(ctx, []systemd.Address{{Socket: "/run/systemd/private"}, {Socket: "/run/dbus/system_bus_socket", Bus: true}})
	if err != nil {
		return err
	}
	defer m.Close()
	return ask(ctx, m)
}

// hostStops is whether the host is about to power off or to reboot. One that
// cannot be asked goes on.
func hostStops(ctx context.Context) bool {
	if !underSystemd() {
		return false
	}
	state := ""
	err := askSystemd(ctx, func(ctx context.Context, m *systemd.Manager) (err error) {
		state, err = m.State(ctx)
		return err
	})
	return err == nil && state == "stopping"
}

// shimFromUnit has systemd start the shim's unit, so that it is in no unit of the
// engine's, and joins it.
func shimFromUnit(ctx context.Context, execRoot string) (*shim.Client, error) {
	if err := askSystemd(ctx, func(ctx context.Context, m *systemd.Manager) error { return m.StartUnit(ctx, shimUnit) }); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, unitLimit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		client, err := shim.Dial(ctx, shim.Socket(execRoot))
		if err == nil {
			return client, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s: %w", shimUnit, err)
		}
	}
}
