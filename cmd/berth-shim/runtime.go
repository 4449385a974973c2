package main

import (
	"context"

	"github.com/berth-containers/berth/internal/runtime"
	"github.com/berth-containers/berth/internal/shim/supervisor"
)

// containers lets the supervisor make processes with Berth's own runtime.
type containers struct{ *runtime.Runtime }

func openRuntime(init string) (containers, error) {
	r, err := runtime.New(init)
	return containers{r}, err
}

func (c containers) Create(ctx context.Context, o supervisor.Container) (supervisor.Created, error) {
	made, err := c.Runtime.Create(ctx, runtime.CreateOptions{
		ID: o.ID, Spec: o.Spec, Bundle: o.Bundle, Rootfs: o.Rootfs, Stdio: o.Stdio, HoldMounts: true, DiscardLimits: true,
	})
	if err != nil {
		return supervisor.Created{}, err
	}
	return supervisor.Created{
		Pid: made.Pid, Pidfd: made.Pidfd, Console: made.Console, Mounts: made.Mounts, CgroupPath: made.CgroupPath,
		Start: func() ([]string, error) {
			err := made.Start()
			return made.Warnings, err
		},
		Abort: made.Abort,
	}, nil
}

func (c containers) Exec(ctx context.Context, o supervisor.Exec) (supervisor.Created, error) {
	made, err := c.Runtime.Exec(ctx, runtime.ExecOptions{
		ID: o.ID, Bundle: o.Bundle, Pid: o.Pid, CgroupPath: o.CgroupPath, Spec: o.Spec, Process: o.Process, Stdio: o.Stdio,
	})
	if err != nil {
		return supervisor.Created{}, err
	}
	return supervisor.Created{Pid: made.Pid, Pidfd: made.Pidfd, Console: made.Console, Warnings: made.Warnings}, nil
}

func (c containers) OOMKilled(path string) (bool, error) { return runtime.OOMKilled(path) }

func (c containers) Freeze(path string, frozen bool) error {
	if frozen {
		return runtime.Pause(path)
	}
	return runtime.Resume(path)
}
