package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/cgroup/device"
	"github.com/berth-containers/berth/internal/sys/cgroup/limit"
	"github.com/berth-containers/berth/internal/sys/cgroup/systemd"
	"github.com/berth-containers/berth/internal/sys/dbus"
)

// openSystemd connects to the caller's systemd: the system's, or the user's own.
func openSystemd(ctx context.Context) (m *systemd.Manager, root bool, err error) {
	uid, err := systemd.Caller()
	if err != nil {
		return nil, false, err
	}
	m, err = systemd.Open(ctx, systemd.Addresses(uid, os.Getenv))
	return m, uid == 0, err
}

// Unit is a container's place with systemd.
type Unit struct {
	systemd.Unit
	Path  string          // of the cgroup that it will have
	extra dbus.Properties // that the user asks for
}

// PlaceUnit reads a cgroupsPath of systemd's form, slice:prefix:name, and the
// annotations that set properties of the unit.
func PlaceUnit(ctx context.Context, cgroupsPath string, annotations map[string]string) (*Unit, error) {
	unit, err := systemd.Parse(cgroupsPath)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(unit.Name, ".slice") {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("cgroupsPath %q names a slice, which holds no process; give the container a name without .slice", cgroupsPath))
	}
	u := &Unit{}
	if u.extra, err = systemd.FromAnnotations(annotations); err != nil {
		return nil, err
	}
	m, root, err := openSystemd(ctx)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	u.Unit, u.Path, err = m.Place(ctx, unit, root)
	return u, err
}

// startUnit has systemd put the process into a unit of its own, and sets what
// systemd has no property for.
func (n *newCgroup) startUnit(ctx context.Context, o CreateOptions, pid int) error {
	c := systemd.Container{Unit: o.Unit.Unit, Pid: pid, V2: cgroup.Detect() == cgroup.V2, Extra: o.Unit.extra}
	var rules []specs.LinuxDeviceCgroup
	if res := o.Spec.Linux.Resources; res != nil {
		rules = res.Devices
	}
	var err error
	if c.Settings, err = cgroup.Settings(o.Spec.Linux.Resources); err != nil {
		return err
	}
	if c.Devices, err = device.Parse(rules); err != nil {
		return err
	}
	m, _, err := openSystemd(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	err = m.Start(ctx, c)
	if !errdefs.IsConflict(err) { // the unit is ours, also if its job failed
		n.unit, n.path = o.Unit.Name, o.Unit.Path
	}
	if err != nil {
		return err
	}
	path, err := systemd.PathOf(pid)
	if err != nil {
		return err
	}
	if path != o.Unit.Path {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("systemd put the container into cgroup %s in place of %s; is this its cgroup namespace?", path, o.Unit.Path))
	}
	n.Group, n.warnings, err = cgroup.Adopt(path, cgroupOptions(o))
	if err != nil {
		return err
	}
	n.complete = true
	return nil
}

// attachToUnit has systemd move the process into the container's cgroup.
func attachToUnit(ctx context.Context, o ExecOptions, pid int) error {
	m, _, err := openSystemd(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Attach(ctx, o.Unit.Name, strings.TrimPrefix(o.CgroupPath, o.Unit.Path), pid)
}

func (c *Container) removeCgroup() error {
	if c.unit == "" {
		return c.gate.runtime.RemoveCgroup(c.CgroupPath)
	}
	ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
	defer cancel()
	return RemoveUnit(ctx, c.unit, c.CgroupPath)
}

// RemoveUnit ends what is left in a container's unit and takes the unit and its
// cgroup away. What is gone is no error.
func RemoveUnit(ctx context.Context, unit, path string) error {
	group := cgroup.Open(path)
	if err := group.Kill(); err != nil { // systemd would be patient with it
		return err
	}
	m, _, err := openSystemd(ctx)
	if err != nil {
		return errors.Join(err, group.Remove(ctx))
	}
	defer m.Close()
	return errors.Join(m.Stop(ctx, unit), group.Remove(ctx))
}

// Update changes the given limits of a running container; unit is empty if
// systemd does not keep its cgroup.
func Update(ctx context.Context, path, unit string, res *specs.LinuxResources) (warnings []string, err error) {
	if path == "" {
		return nil, errdefs.ErrFailedPrecondition.WithMessage("a container without a cgroup of its own has no limits to change")
	}
	group := cgroup.Open(path)
	if unit == "" {
		return group.Update(res)
	}
	m, _, err := openSystemd(ctx)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return group.UpdateWith(res, func(list []limit.Setting) error { return m.Update(ctx, unit, list) })
}
