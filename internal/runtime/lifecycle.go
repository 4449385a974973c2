package runtime

import (
	"fmt"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/leanjson"
	"github.com/berth-containers/berth/internal/runtime/hooks"
	"github.com/berth-containers/berth/internal/runtime/wire"
)

// hookState is a container's state as its hooks read it; without a pid it is for
// hooks.WithPid.
func hookState(o CreateOptions, status specs.ContainerState, pid int) (string, error) {
	text, err := leanjson.Marshal(specs.State{Version: specs.Version, ID: o.ID, Status: status, Pid: pid,
		Bundle: o.Bundle, Annotations: o.Spec.Annotations})
	if err != nil {
		return "", fmt.Errorf("write the state for hooks: %w", err)
	}
	return string(text), nil
}

// containerHooks are what the init is told of the specification's hooks.
func containerHooks(o CreateOptions) (h wire.ContainerHooks, err error) {
	list := o.Spec.Hooks
	if list == nil {
		return h, nil
	}
	if err := hooks.Check(list); err != nil {
		return h, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	h.Runtime = len(list.Prestart)+len(list.CreateRuntime) > 0 //lint:ignore SA1019 it is in use
	h.Create, h.Start = list.CreateContainer, list.StartContainer
	if h.CreatingState, err = hookState(o, specs.StateCreating, 0); err != nil {
		return h, err
	}
	h.CreatedState, err = hookState(o, specs.StateCreated, 0)
	return h, err
}

// createHooks runs the hooks of create that are the runtime's.
func createHooks(o CreateOptions, pid int) error {
	state, err := hookState(o, specs.StateCreating, pid)
	if err != nil {
		return err
	}
	//lint:ignore SA1019 it is in use
	if err := hooks.Run("prestart", o.Spec.Hooks.Prestart, state); err != nil {
		return err
	}
	return hooks.Run("createRuntime", o.Spec.Hooks.CreateRuntime, state)
}
