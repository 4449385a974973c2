package runtime

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/caps"
)

// maxMapLines is how many lines the kernel takes in a map.
const maxMapLines = 340

// idMap is the ID map of a new user namespace.
type idMap struct{ uids, gids []specs.LinuxIDMapping }

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// validateUsers checks the map of a user namespace against the namespace.
func validateUsers(l *specs.Linux, p plan) error {
	mapped := len(l.UIDMappings)+len(l.GIDMappings) > 0
	switch {
	case p.all&unix.CLONE_NEWUSER == 0 && mapped:
		return invalid("linux.uidMappings and linux.gidMappings are set, but linux.namespaces has no user namespace: add one, or take the mappings out")
	case p.clone&unix.CLONE_NEWUSER == 0 && !mapped:
		return nil
	}
	return cmp.Or(validateMap("linux.uidMappings", l.UIDMappings), validateMap("linux.gidMappings", l.GIDMappings))
}

func validateMap(field string, list []specs.LinuxIDMapping) error {
	if len(list) == 0 {
		return invalid("%s is empty: a user namespace needs a map; add {containerID: 0, hostID: …, size: …}", field)
	}
	if len(list) > maxMapLines {
		return invalid("%s has %d entries; the kernel takes %d", field, len(list), maxMapLines)
	}
	for i, m := range list {
		if m.Size == 0 {
			return invalid("%s[%d] (%s) maps nothing: size is 0", field, i, show(m))
		}
		if uint64(m.ContainerID)+uint64(m.Size) > 1<<32-1 || uint64(m.HostID)+uint64(m.Size) > 1<<32-1 {
			return invalid("%s[%d] (%s) goes beyond the last ID, 4294967294", field, i, show(m))
		}
		for k, other := range list[:i] {
			if overlap(m.ContainerID, other.ContainerID, m.Size, other.Size) || overlap(m.HostID, other.HostID, m.Size, other.Size) {
				return invalid("%s[%d] (%s) overlaps with %s[%d] (%s)", field, i, show(m), field, k, show(other))
			}
		}
	}
	return nil
}

func overlap(a, b, sizeA, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}

func show(m specs.LinuxIDMapping) string {
	return fmt.Sprintf("%d:%d:%d", m.ContainerID, m.HostID, m.Size)
}

// first is the ID in the container that its setup has: root if that is mapped.
func first(list []specs.LinuxIDMapping) uint32 {
	if len(list) == 0 {
		return 0
	}
	return slices.MinFunc(list, func(a, b specs.LinuxIDMapping) int { return cmp.Compare(a.ContainerID, b.ContainerID) }).ContainerID
}

// write gives the user namespace of the process pid its map: by itself if the
// runtime may, or else by the setuid programs of the package uidmap, which know what
// the user has in /etc/subuid and /etc/subgid.
func (m idMap) write(pid int) error {
	have, err := caps.Current()
	if err != nil {
		return err
	}
	may := func(name string) bool {
		set, _ := caps.Parse([]string{name})
		return have&set != 0
	}
	own := func(list []specs.LinuxIDMapping, id int) bool {
		return len(list) == 1 && list[0].Size == 1 && int64(list[0].HostID) == int64(id)
	}
	uids := mapping{field: "linux.uidMappings", file: "uid_map", program: "newuidmap", subordinate: "/etc/subuid", list: m.uids}
	gids := mapping{field: "linux.gidMappings", file: "gid_map", program: "newgidmap", subordinate: "/etc/subgid", list: m.gids}
	switch {
	case may("CAP_SETUID"), own(m.uids, os.Geteuid()):
		err = uids.write(pid)
	default:
		err = uids.run(pid)
	}
	if err != nil {
		return err
	}
	switch {
	case may("CAP_SETGID"):
		return gids.write(pid)
	case own(m.gids, os.Getegid()):
		// Who could leave a group there might get what the group is denied.
		if err := writeFile(fmt.Sprintf("/proc/%d/setgroups", pid), "deny"); err != nil {
			return fmt.Errorf("deny setgroups in the user namespace: %w", err)
		}
		return gids.write(pid)
	}
	return gids.run(pid)
}

// mapping is one of the two halves of a map.
type mapping struct {
	field, file, program, subordinate string
	list                              []specs.LinuxIDMapping
}

func (m mapping) write(pid int) error {
	var text strings.Builder
	for _, e := range m.list {
		fmt.Fprintf(&text, "%d %d %d\n", e.ContainerID, e.HostID, e.Size)
	}
	err := writeFile(fmt.Sprintf("/proc/%d/%s", pid, m.file), text.String())
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("%s %s cannot be set: the host IDs must be mapped in the runtime's own user namespace (%v)",
			m.field, m.shown(), err))
	}
	if err != nil {
		return fmt.Errorf("set %s: %w", m.field, err)
	}
	return nil
}

func (m mapping) shown() string {
	var all []string
	for _, e := range m.list {
		all = append(all, show(e))
	}
	return strings.Join(all, " ")
}

func (m mapping) run(pid int) error {
	path, err := exec.LookPath(m.program)
	if err != nil {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("%s %s needs %s, which is not in PATH: "+
			"install the package uidmap, or map only the own ID, with size 1", m.field, m.shown(), m.program))
	}
	args := []string{strconv.Itoa(pid)}
	for _, e := range m.list {
		args = append(args, fmt.Sprint(e.ContainerID), fmt.Sprint(e.HostID), fmt.Sprint(e.Size))
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("%s %s cannot be set: %s says %q (%v); see what the user has in %s",
			m.field, m.shown(), m.program, bytes.TrimSpace(out), err, m.subordinate))
	}
	return nil
}

// writeFile writes all of it in one call, as these files of the kernel want it.
func writeFile(path, text string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}
