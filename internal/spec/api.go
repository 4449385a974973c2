// Package spec turns a container's record into an OCI runtime specification:
// namespaces, mounts, capabilities, seccomp, devices, limits, with Docker's
// defaults. It is pure: it reads nothing but its input and what Input.Devices
// tells of the host's devices, and it keeps nothing that a crash could leave.
package spec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/sys/userns"
)

// Input is what Build needs.
type Input struct {
	Record *container.Record
	// NetNS, PidNS, IpcNS, UtsNS are paths of namespaces to join; "" makes a
	// new one, "host" stays in the engine's.
	NetNS, PidNS, IpcNS, UtsNS string
	// Files of the engine that are bound into the container; "" leaves one out.
	HostnameFile, HostsFile, ResolvConfFile string
	// ShmDir is joined with --ipc container:X; "" makes a new tmpfs of ShmSize.
	ShmDir string
	// InitBinary is bound at /sbin/docker-init and becomes PID 1 with --init.
	InitBinary string
	// CgroupParent is the engine's cgroup parent, for example "/berth"; the
	// container's cgroup is CgroupParent/ID unless HostConfig.CgroupParent says otherwise.
	CgroupParent string
	// Images are the layers of the images that are mounted, by destination.
	Images map[string]oci.Rootfs
	// IDMaps are those of binds, by destination: from IDs of the source to IDs of
	// the host. What is not there is not mapped.
	IDMaps map[string]userns.Map
	// Group looks a group's name up in the container's /etc/group; nil: any may be there.
	Group func(name string) (uint32, error)
	// Users is the ID map of the container's user namespace; the zero value, and
	// HostConfig.UsernsMode host, leave it in the engine's.
	Users userns.Map
	// UserNS is the path of one to join that has this map; "" makes a new one.
	UserNS string
	// AppArmor is whether the host enforces it.
	AppArmor bool
	// CgroupV2 is whether the host has the unified hierarchy only.
	CgroupV2 bool
	// Devices lists the device nodes at a path of the host: the node itself, or
	// those below a directory. nil is HostDevices.
	Devices func(path string) ([]specs.LinuxDevice, error)
}

// Output is the specification and what the user should be told.
type Output struct {
	Spec     *specs.Spec
	Warnings []string
}
