// Package resctrl puts containers into the groups of Intel's Resource Director
// Technology, which share caches and memory bandwidth out.
//
// A group is a directory of the resctrl file system: one that was there, or one
// with the container's ID, which Remove takes away. So is its monitoring group.
// A crash leaves both until then.
package resctrl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Root is where the kernel's resctrl is mounted.
const Root = "/sys/fs/resctrl"

// Mounted is whether root is a resctrl.
func Mounted(root string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(root, &fs) == nil && fs.Type == unix.RDTGROUP_SUPER_MAGIC
}

// Check returns an error for what contradicts itself.
func Check(r *specs.LinuxIntelRdt) error {
	if r.ClosID != "/" && (strings.Contains(r.ClosID, "/") || r.ClosID == "." || r.ClosID == "..") {
		return invalid("linux.intelRdt.closID %q is not the name of a directory", r.ClosID)
	}
	for _, line := range lines(r) {
		if strings.Contains(line, "\n") || !strings.Contains(line, ":") {
			return invalid("linux.intelRdt: %q is not one line such as L3:0=f;1=f", line)
		}
	}
	if r.MemBwSchema != "" && !strings.HasPrefix(r.MemBwSchema, "MB:") {
		return invalid("linux.intelRdt.memBwSchema %q does not begin with MB:", r.MemBwSchema)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// lines are what is written to schemata, in the specification's order.
func lines(r *specs.LinuxIntelRdt) []string {
	var list []string
	for _, line := range []string{r.L3CacheSchema, r.MemBwSchema} {
		if line != "" {
			list = append(list, line)
		}
	}
	return append(list, r.Schemata...)
}

// dirs are the control group and, if one is wanted, the monitoring group.
func dirs(root, id string, r *specs.LinuxIntelRdt) (control, monitor string) {
	name := r.ClosID
	if name == "" {
		name = id
	}
	control = filepath.Join(root, name)
	if r.EnableMonitoring {
		monitor = filepath.Join(control, "mon_groups", id)
	}
	return control, monitor
}

// Create makes the groups of the container id below root, as far as they are not
// there. On failure nothing of it is left.
func Create(root, id string, r *specs.LinuxIntelRdt) (err error) {
	control, monitor := dirs(root, id, r)
	want := lines(r)
	_, statErr := os.Stat(control)
	switch {
	case statErr == nil && r.ClosID == "":
		return errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("resctrl group %s is there already: name it in linux.intelRdt.closID to use it", control))
	case statErr == nil:
		if err := compare(control, want); err != nil {
			return err
		}
	case !errors.Is(statErr, fs.ErrNotExist):
		return fmt.Errorf("look for resctrl group: %w", statErr)
	case r.ClosID != "" && len(want) == 0:
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("linux.intelRdt.closID %q: there is no such group, and no schema to make it with", r.ClosID))
	default:
		if err := os.Mkdir(control, 0o755); err != nil {
			return fmt.Errorf("make resctrl group: %w", err)
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, os.Remove(control))
			}
		}()
		if err := writeSchemata(control, want); err != nil {
			return err
		}
	}
	if monitor == "" {
		return nil
	}
	if err := os.Mkdir(monitor, 0o755); err != nil {
		return fmt.Errorf("make resctrl monitoring group: %w", err)
	}
	return nil
}

func writeSchemata(control string, want []string) error {
	if len(want) == 0 {
		return nil
	}
	text := strings.Join(want, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(control, "schemata"), []byte(text), 0o644); err != nil {
		return fmt.Errorf("set linux.intelRdt %q: %w", want, err)
	}
	return nil
}

// compare returns an error if the group does not have the lines that are wanted.
func compare(control string, want []string) error {
	if len(want) == 0 {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(control, "schemata"))
	if err != nil {
		return fmt.Errorf("read resctrl group: %w", err)
	}
	var have []string
	for line := range strings.Lines(string(b)) {
		have = append(have, normal(line)...)
	}
	for _, line := range want {
		for _, pair := range normal(line) {
			if !slices.Contains(have, pair) {
				return invalid("linux.intelRdt %q is not what the group %s has: %q", line, control, strings.TrimSpace(string(b)))
			}
		}
	}
	return nil
}

// normal takes L3:0=0f;1=f apart: L3:0=f, L3:1=f.
func normal(line string) []string {
	resource, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
	var list []string
	for pair := range strings.SplitSeq(rest, ";") {
		cache, value, _ := strings.Cut(pair, "=")
		value = strings.TrimLeft(strings.TrimSpace(value), "0")
		list = append(list, resource+":"+strings.TrimSpace(cache)+"="+strings.ToLower(value))
	}
	return list
}

// Update changes the schemata of the container id, which was made with r.
func Update(root, id string, r, change *specs.LinuxIntelRdt) error {
	if r == nil {
		return errdefs.ErrFailedPrecondition.WithMessage("the container has no group of Intel RDT: set linux.intelRdt in its specification")
	}
	if err := Check(change); err != nil {
		return err
	}
	control, _ := dirs(root, id, r)
	// The kernel has the file, and makes none.
	if _, err := os.Stat(filepath.Join(control, "schemata")); err != nil {
		return fmt.Errorf("find resctrl group: %w", err)
	}
	return writeSchemata(control, lines(change))
}

// Doors are open files by which a thread enters the groups: it writes "0".
func Doors(root, id string, r *specs.LinuxIntelRdt) (doors []*os.File, err error) {
	control, monitor := dirs(root, id, r)
	for _, dir := range []string{control, monitor} {
		if dir == "" {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, "tasks"), os.O_WRONLY, 0)
		if err != nil {
			for _, f := range doors {
				f.Close()
			}
			return nil, fmt.Errorf("open resctrl group: %w", err)
		}
		doors = append(doors, f)
	}
	return doors, nil
}

// Remove takes away what Create made for the container id. What is gone is no
// error.
func Remove(root, id string, r *specs.LinuxIntelRdt) error {
	if r == nil {
		return nil
	}
	control, monitor := dirs(root, id, r)
	var err error
	if monitor != "" {
		err = ignoreMissing(unix.Rmdir(monitor))
	}
	if r.ClosID == "" {
		err = errors.Join(err, ignoreMissing(unix.Rmdir(control)))
	}
	if err != nil {
		return fmt.Errorf("remove resctrl group %s: %w", control, err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
