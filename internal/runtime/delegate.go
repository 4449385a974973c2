package runtime

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/sys/cgroup"
)

func cgroupOptions(o CreateOptions) cgroup.Options {
	return cgroup.Options{Resources: o.Spec.Linux.Resources, Discard: o.DiscardLimits, Owner: cgroupOwner(o.Spec)}
}

// cgroupOwner is who is root in the container, if that is another user of the
// host and may make groups: its cgroup is the root of a namespace of its own, and
// mounted writable.
func cgroupOwner(spec *specs.Spec) *cgroup.Owner {
	mounted := slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool {
		return (m.Type == "cgroup" || m.Type == "cgroup2") && !slices.Contains(m.Options, "ro")
	})
	own := slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.CgroupNamespace && n.Path == ""
	})
	uid, isMapped := ownerID(spec.Linux.UIDMappings)
	gid, isMappedToo := ownerID(spec.Linux.GIDMappings)
	if !mounted || !own || !isMapped || !isMappedToo {
		return nil
	}
	return &cgroup.Owner{UID: uid, GID: gid}
}

// ownerID is what the container's 0 is on the host.
func ownerID(list []specs.LinuxIDMapping) (int, bool) {
	for _, m := range list {
		if m.ContainerID == 0 && m.Size > 0 {
			return int(m.HostID), true
		}
	}
	return 0, false
}
