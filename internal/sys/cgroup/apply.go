package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/cgroup/device"
	"github.com/berth-containers/berth/internal/sys/cgroup/kernfs"
	"github.com/berth-containers/berth/internal/sys/cgroup/limit"
)

// limit sets the limits of a new group.
func (g *Group) limit(res *specs.LinuxResources, discard bool) ([]string, error) {
	if res == nil {
		res = &specs.LinuxResources{}
	}
	if g.layout.mode == V2 && !discard {
		if err := limit.Inconvertible(res); err != nil {
			return nil, err
		}
	}
	list, warnings, err := settings(g.layout.mode, res, limit.Current{})
	if err != nil {
		return nil, err
	}
	rules, err := device.Parse(res.Devices)
	if err != nil {
		return nil, err
	}
	if g.layout.mode == V1 {
		for _, l := range device.V1(rules) {
			list = append(list, limit.Setting{Option: "device rule", Controller: "devices", File: l.File, Value: l.Value,
				Optional: discard || os.Geteuid() != 0}) // who may not limit it may not make a device either
		}
	}
	if err := g.handDown(list); err != nil {
		return nil, err
	}
	more, err := g.apply(list, discard, nil)
	if err != nil {
		return nil, err
	}
	if g.layout.mode == V2 {
		err = g.limitDevices(rules)
	}
	return append(warnings, more...), err
}

func settings(mode Mode, res *specs.LinuxResources, now limit.Current) ([]limit.Setting, []string, error) {
	if mode == V2 {
		return limit.V2(res, now)
	}
	return limit.V1(res)
}

func (g *Group) limitDevices(rules []device.Rule) error {
	h, ok := g.layout.unified()
	if !ok {
		return nil
	}
	err := device.Attach(h.dir(g.path), rules)
	if errors.Is(err, unix.EPERM) && os.Geteuid() != 0 {
		return nil // who may not load a program may not make a device either
	}
	return err
}

// apply writes the settings in order. What the kernel refuses because of another
// that comes later (memory above memory and swap, a burst above the quota) is
// tried again when all others are set. before is called ahead of each write.
func (g *Group) apply(list []limit.Setting, discard bool, before func(file string, s limit.Setting)) (warnings []string, err error) {
	var later []limit.Setting
	for _, s := range list {
		warning, err := g.set(s, discard, before)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EBUSY) {
			later = append(later, s)
			continue
		}
		if err != nil {
			return nil, err
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	for _, s := range later {
		if _, err := g.set(s, discard, before); err != nil {
			return nil, err
		}
	}
	return warnings, nil
}

// set writes one setting; it returns the warning if the host lacks it and that
// is to be discarded.
func (g *Group) set(s limit.Setting, discard bool, before func(string, limit.Setting)) (warning string, err error) {
	h, ok := g.layout.find(s.Controller)
	file := filepath.Join(h.dir(g.path), s.File)
	if ok {
		value := s.Value
		err = writeSetting(file, value, s, before)
		if errors.Is(err, fs.ErrNotExist) && s.Other != nil {
			file, value = filepath.Join(h.dir(g.path), s.Other.File), s.Other.Value
			err = writeSetting(file, value, s, before)
		}
	}
	switch {
	case ok && err == nil:
		return "", nil
	case ok && !errors.Is(err, fs.ErrNotExist):
		return "", refusal(s, file, err)
	case s.Optional:
		return "", nil
	case discard && s.Discarded != "":
		return s.Discarded, nil
	}
	return "", lacks(g, s)
}

func writeSetting(file, value string, s limit.Setting, before func(string, limit.Setting)) error {
	if before != nil {
		before(file, s)
	}
	return kernfs.Write(file, value)
}

// refusal explains what the kernel only has a number for.
func refusal(s limit.Setting, file string, err error) error {
	next := ""
	switch {
	case s.Controller == "memory" && errors.Is(err, unix.EBUSY):
		usage, _ := kernfs.Read(filepath.Join(filepath.Dir(file), "memory.usage_in_bytes"))
		next = fmt.Sprintf("; more than that is in use (%s bytes) and cannot be swapped out", usage)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		if s.Controller == "cpuset" {
			next = "; the group above has other CPUs or memory nodes"
		} else if os.Geteuid() != 0 {
			next = "; have the cgroup delegated to this user"
		}
	case errors.Is(err, unix.ENODEV):
		next = "; there is no such device"
	}
	return fmt.Errorf("%s %s is refused by the kernel: %w%s", s.Option, s.Value, err, next)
}

// lacks says why a limit cannot be had here and what to do.
func lacks(g *Group, s limit.Setting) error {
	message := fmt.Sprintf("%s %s: ", s.Option, s.Value)
	h, ok := g.layout.unified()
	switch {
	case g.layout.has(s.Controller):
		message += fmt.Sprintf("the kernel's %s controller does not have %s", s.Controller, s.File)
	case s.Controller == "net_cls" || s.Controller == "net_prio":
		message += fmt.Sprintf("the %s controller is of cgroup v1 and not mounted; use a filter of the network in its place", s.Controller)
	case ok && contains(h.dir(g.path), s.Controller):
		message += fmt.Sprintf("the kernel's %s controller does not have %s", s.Controller, s.File)
	case ok && contains(h.root, s.Controller):
		message += fmt.Sprintf("the %s controller does not reach cgroup %s; have it delegated (Delegate=%s in the unit above), or take the limit out", s.Controller, g.path, s.Controller)
	default:
		message += fmt.Sprintf("the kernel has no %s controller, or it is not mounted; start the kernel with it (cgroup_enable=%s) or take the limit out", s.Controller, s.Controller)
	}
	return errdefs.ErrFailedPrecondition.WithMessage(message)
}

// contains is whether a group of v2 has the controller.
func contains(dir, controller string) bool {
	list, err := kernfs.Words(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return false
	}
	for _, c := range list {
		if c == controller {
			return true
		}
	}
	return false
}

// Update changes the given limits of a live group, and nothing else; after an
// error the old values are written back, as far as the kernel takes them. Rules
// of devices are fixed when a container is made: they are left as they are. The
// error names the option, the value and the file.
func (g *Group) Update(res *specs.LinuxResources) (warnings []string, err error) {
	return g.UpdateWith(res, nil)
}

// UpdateWith is Update of a group that somebody else keeps as well. When the
// kernel has taken the values, keeper is told of them; what it then writes itself
// may be rounded, so they are written once more.
func (g *Group) UpdateWith(res *specs.LinuxResources, keeper func([]limit.Setting) error) (warnings []string, err error) {
	if g.layout.mode == None {
		return nil, g.layout.missing()
	}
	if res == nil {
		return nil, nil
	}
	if !g.exists() {
		return nil, errdefs.ErrNotFound.WithMessage("there is no cgroup " + g.path)
	}
	list, warnings, err := settings(g.layout.mode, res, limitsNow(g))
	if err != nil {
		return nil, err
	}
	if err := inUse(g, res.Memory); err != nil {
		return nil, err
	}
	if err := g.handDown(list); err != nil {
		return nil, err
	}
	var old []oldValue
	_, err = g.apply(list, false, func(file string, s limit.Setting) {
		if o, ok := remember(file, s); ok {
			old = append(old, o)
		}
	})
	if err == nil && keeper != nil {
		if err = keeper(list); err == nil {
			_, err = g.apply(list, false, nil)
		}
	}
	if err != nil {
		restore(old)
		return nil, err
	}
	return warnings, nil
}

// Settings are what the resources come to on this host, for somebody else who
// makes the group.
func Settings(res *specs.LinuxResources) ([]limit.Setting, error) {
	if res == nil {
		return nil, nil
	}
	list, _, err := settings(Detect(), res, limit.Current{})
	return list, err
}

func limitsNow(g *Group) limit.Current {
	h, ok := g.layout.unified()
	if !ok || g.layout.mode != V2 {
		return limit.Current{}
	}
	read := func(name string) func() (string, error) {
		return func() (string, error) {
			s, err := kernfs.Read(filepath.Join(h.dir(g.path), name))
			if errors.Is(err, fs.ErrNotExist) {
				return "max", nil
			}
			return s, err
		}
	}
	return limit.Current{Memory: read("memory.max"), CPU: read("cpu.max")}
}

// inUse keeps a limit below what is used from being set, if that is asked for:
// v2 would kill for it.
func inUse(g *Group, m *specs.LinuxMemory) error {
	if m == nil || m.CheckBeforeUpdate == nil || !*m.CheckBeforeUpdate || m.Limit == nil || *m.Limit <= 0 {
		return nil
	}
	h, ok := g.layout.find("memory")
	if !ok {
		return nil
	}
	file := "memory.usage_in_bytes"
	if h.unified {
		file = "memory.current"
	}
	usage, err := kernfs.Number(filepath.Join(h.dir(g.path), file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // setting the limit says what is missing
	}
	if err == nil && uint64(*m.Limit) < usage {
		err = errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"memory limit %d is below the %d bytes in use; free memory first, or leave checkBeforeUpdate out", *m.Limit, usage))
	}
	return err
}

// oldValue is what a file held.
type oldValue struct{ file, value string }

// remember reads what a setting will replace; a file that is not there or that
// cannot be read has nothing to go back to.
func remember(file string, s limit.Setting) (oldValue, bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return oldValue{}, false
	}
	value := strings.TrimSpace(string(data))
	if s.Old != nil {
		value = s.Old(value)
	}
	if value == "" {
		value = "\n" // a write of nothing would not reach the kernel
	}
	return oldValue{file, value}, true
}

// restore goes back twice, backwards and forwards: pairs that the kernel takes
// in one order only (memory, and memory with swap) come right in one of them.
func restore(old []oldValue) {
	for i := len(old) - 1; i >= 0; i-- {
		_ = kernfs.Write(old[i].file, old[i].value)
	}
	for _, o := range old {
		_ = kernfs.Write(o.file, o.value)
	}
}
