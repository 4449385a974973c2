package runtime

import (
	"context"
	"os"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/sys/resctrl"
	"github.com/berth-containers/berth/internal/undo"
)

// checkResctrl is for a specification that asks for Intel RDT.
func checkResctrl(rdt *specs.LinuxIntelRdt) error {
	if rdt == nil {
		return nil
	}
	if err := resctrl.Check(rdt); err != nil {
		return err
	}
	if !resctrl.Mounted(resctrl.Root) {
		return errdefs.ErrFailedPrecondition.WithMessage("linux.intelRdt needs a resctrl file system at " + resctrl.Root + ": mount it, or take the field out of the specification")
	}
	return nil
}

// makeResctrl makes the container's groups, and returns the ways into them.
func makeResctrl(id string, rdt *specs.LinuxIntelRdt, back *undo.Stack) ([]*os.File, error) {
	if rdt == nil {
		return nil, nil
	}
	if err := resctrl.Create(resctrl.Root, id, rdt); err != nil {
		return nil, err
	}
	back.Add(func(context.Context) error { return RemoveResctrl(id, rdt) })
	return resctrl.Doors(resctrl.Root, id, rdt)
}

// RemoveResctrl takes away what a container had of Intel RDT alone.
func RemoveResctrl(id string, rdt *specs.LinuxIntelRdt) error {
	return resctrl.Remove(resctrl.Root, id, rdt)
}
