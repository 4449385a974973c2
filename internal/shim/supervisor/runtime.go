package supervisor

import (
	"context"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/oci"
)

// Runtime makes the processes that a Server is the parent of. It must not wait
// for them.
type Runtime interface {
	Create(context.Context, Container) (Created, error)
	Exec(context.Context, Exec) (Created, error)
	// RemoveCgroup kills what is in the cgroup and removes it, in bounded time.
	RemoveCgroup(path string) error
	OOMKilled(path string) (bool, error)
	// Freeze stops all processes of the cgroup, or lets them run on.
	Freeze(path string, frozen bool) error
}

// Container is what Create runs.
type Container struct {
	ID     string
	Spec   *specs.Spec
	Bundle string
	Rootfs *oci.Rootfs
	Stdio  [3]*os.File // nil with a terminal
}

// Exec is what Exec runs in a container.
type Exec struct {
	ID, Bundle string // of the container
	Pid        int    // the container's first process
	CgroupPath string
	Spec       *specs.Spec // the container's
	Process    *specs.Process
	Stdio      [3]*os.File // nil with a terminal
}

// Created is a new process.
type Created struct {
	Pid        int
	Pidfd      *os.File
	Console    *os.File // pty master, if there is a terminal
	Mounts     *os.File // closed after the exit was told, if there is one
	CgroupPath string   // of a container
	// Start lets a container execute its program; nil for an exec. On failure
	// the container is gone. Pidfd and Console must be open until then.
	Start func() (warnings []string, err error)
	// Abort takes a container back in place of Start: it is killed and reaped.
	Abort    func() error
	Warnings []string // of an exec
}
