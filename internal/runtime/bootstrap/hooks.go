package bootstrap

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/hooks"
	"github.com/berth-containers/berth/internal/runtime/wire"
)

// createHooks has the runtime run its hooks and then runs those of the
// container's namespaces, whose programs are the host's: the root is not changed
// yet.
func (s *starter) createHooks() error {
	h := &s.config.Hooks
	if h.Runtime {
		if err := wire.Write(s.conn, wire.Hooks, nil); err != nil {
			return fmt.Errorf("tell the runtime: %w", err)
		}
		if _, err := expect(s.conn, wire.Hooks); err != nil {
			return err
		}
	}
	if len(h.Create) == 0 {
		return nil
	}
	return hooks.Run("createContainer", h.Create, hooks.WithPid(h.CreatingState, unix.Getpid()))
}

// startHooks runs the hooks that are the container's own programs, with what the
// program itself may do.
func (s *starter) startHooks() error {
	h := &s.config.Hooks
	if len(h.Start) == 0 {
		return nil
	}
	return hooks.Run("startContainer", h.Start, hooks.WithPid(h.CreatedState, unix.Getpid()))
}
