// Package runtime makes containers out of OCI runtime specifications: it clones
// an init into new namespaces, mounts the root filesystem there, joins the
// cgroup and executes the program. It keeps no daemon, reaps no child and
// stores no state of its own: the caller is the parent of each process it is
// handed and waits for it.
//
// If the caller dies, an init that waits at the gate ends with it and a started
// container runs on; its cgroup is taken away by RemoveCgroup.
package runtime

import (
	"context"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/oci"
)

// CreateOptions describe one container. Create runs Spec.Hooks that belong to
// it and Start those of the start; poststart and poststop are left to the caller.
type CreateOptions struct {
	ID   string
	Spec *specs.Spec
	// Bundle is the directory that a relative Spec.Root.Path starts from.
	Bundle string
	// Rootfs, if set, is mounted inside the container in place of Spec.Root.Path.
	Rootfs *oci.Rootfs
	// Stdio are the files for descriptors 0, 1 and 2. Ignored with
	// Spec.Process.Terminal: then Container.Console is the master of a new
	// pseudo-terminal of the container's own devpts, sized Spec.Process.ConsoleSize.
	Stdio [3]*os.File
	// ExtraFiles are the program's descriptors from 3 on; a nil one stays closed.
	ExtraFiles []*os.File
	// ListenFDs is how many of ExtraFiles, from the first on, are sockets that
	// the program is told of by LISTEN_FDS and LISTEN_PID.
	ListenFDs int
	// Gate, if set, is a listening unix socket: the init then waits for
	// StartThrough with the socket's path, from any process, in place of Start.
	Gate *os.File
	// Started, if set, is called with the init's process ID while the init makes
	// the container. If it fails, so does Create.
	Started func(pid int) error
	// Unit, if set, has systemd make the cgroup, in place of Spec.Linux.CgroupsPath.
	Unit *Unit
	// DiscardLimits makes a limit that the host lacks a warning in Docker's
	// words; otherwise it is an error.
	DiscardLimits bool
	// HoldMounts asks for Container.Mounts.
	HoldMounts bool
	// NoPivot enters the root by chroot: pivot_root does not work on an
	// initramfs. The host's proc and sysfs are taken away first.
	NoPivot bool
	// KeepKeyring leaves the program in the caller's session keyring.
	KeepKeyring bool
}

// Container is a created container: its init has set everything up and waits
// before execve until Start.
type Container struct {
	ID      string
	Pid     int
	Pidfd   *os.File
	Console *os.File // pty master; nil without a terminal
	// Mounts keeps the container's mount namespace. Taking it down is most of
	// what an exit costs: a caller that closes it after the exit was told moves
	// that out of the way. Nil without HoldMounts.
	Mounts *os.File
	// CgroupPath is Spec.Linux.CgroupsPath as used, relative to each
	// hierarchy's root; empty if the container has no cgroup of its own.
	CgroupPath string
	// Warnings say which settings the host did not allow in full.
	Warnings []string

	unit string // systemd's, that keeps the cgroup
	gate *gate
	// uncover takes the mounts away, if they are in the runtime's own namespace.
	uncover func(context.Context) error
}

// ExecOptions describe one more process in a running container.
type ExecOptions struct {
	ID, Bundle string // as in CreateOptions
	Pid        int    // the container's init, as seen from the caller
	CgroupPath string
	Unit       *Unit          // as in CreateOptions
	Spec       *specs.Spec    // the container's: namespaces, seccomp, masked paths
	Process    *specs.Process // what to run
	Stdio      [3]*os.File    // as in CreateOptions
	ExtraFiles []*os.File     // as in CreateOptions
	ListenFDs  int            // as in CreateOptions
}

// Process is a process started by Exec; the caller waits for Pid.
type Process struct {
	Pid      int
	Pidfd    *os.File
	Console  *os.File
	Warnings []string
}
