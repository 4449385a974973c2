package command

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/runtime/command/state"
	"github.com/berth-containers/berth/internal/sys/cgroup"
)

const systemRoot = "/run/berth-runtime"

// defaultRoot is the directory of the states: a user's own is where the user's
// session has its files.
func defaultRoot() string {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" || os.Geteuid() == 0 && (!inUserNamespace() || os.Getenv("USER") == "root") {
		return systemRoot
	}
	return path.Join(dir, "berth-runtime")
}

// inUserNamespace is whether root here is another one's root.
func inUserNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295"
}

// explainRoot adds what a user can do about a directory that is the host's.
func explainRoot(root string, err error) error {
	if errors.Is(err, os.ErrPermission) && root == systemRoot {
		return fmt.Errorf("%w; set XDG_RUNTIME_DIR to a directory of your own, or give --root", err)
	}
	return err
}

// placeCgroup decides where the container's cgroup is. A user has one where it
// was delegated, and needs none without limits.
func (e *env) placeCgroup(id string, l *specs.Linux) error {
	if os.Geteuid() == 0 && !inUserNamespace() {
		if l.CgroupsPath == "" {
			l.CgroupsPath = "/" + id
		}
		return nil
	}
	if l.CgroupsPath == "" {
		l.CgroupsPath = path.Join(ownCgroup(), id)
	}
	err := cgroup.Writable(l.CgroupsPath)
	if err == nil {
		return nil
	}
	if what := limited(l.Resources); what != "" {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("linux.resources.%s needs a cgroup, and %v: take the limits out, "+
			"or have a cgroup delegated and name one in it in linux.cgroupsPath (it is %q)", what, err, l.CgroupsPath))
	}
	e.log.warn("the container has no cgroup of its own: %v", err)
	l.CgroupsPath = ""
	return nil
}

// ownCgroup is ours in the unified hierarchy.
func ownCgroup() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "/"
	}
	for line := range strings.Lines(string(text)) {
		if own, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return own
		}
	}
	return "/"
}

// limited names a limit that is asked for. The device rules are none: a user has
// no right to devices to lose.
func limited(r *specs.LinuxResources) string {
	if r == nil {
		return ""
	}
	for _, row := range []struct {
		set  bool
		name string
	}{
		{r.Memory != nil && *r.Memory != specs.LinuxMemory{}, "memory"},
		{r.CPU != nil && *r.CPU != specs.LinuxCPU{}, "cpu"},
		{r.Pids != nil, "pids"},
		{r.BlockIO != nil, "blockIO"},
		{len(r.HugepageLimits) > 0, "hugepageLimits"},
		{r.Network != nil, "network"},
		{len(r.Rdma) > 0, "rdma"},
		{len(r.Unified) > 0, "unified"},
	} {
		if row.set {
			return row.name
		}
	}
	return ""
}

// groupOf is the container's cgroup.
func groupOf(s *state.State) (*cgroup.Group, error) {
	if s.Cgroup == "" {
		return nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("container %s has no cgroup of its own, since none was delegated to its user: name one in linux.cgroupsPath", s.ID))
	}
	return cgroup.Open(s.Cgroup), nil
}
