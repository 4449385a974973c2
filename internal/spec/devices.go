package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// allAccess to a device: read, write, make its node.
const allAccess = "rwm"

func number(n int64) *int64 { return &n }

// devices makes the nodes and the rules of the device cgroup. The nodes that
// every container has are the runtime's.
func (b *builder) devices() error {
	l := b.spec.Linux
	l.Resources = &specs.LinuxResources{Devices: defaultRules()}
	if b.host.Privileged {
		l.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: allAccess}}
		list, err := b.Devices("/dev")
		if err != nil {
			return fmt.Errorf("list the host's devices: %w", err)
		}
		l.Devices = list
	}
	for _, d := range b.host.Resources.Devices {
		if err := b.device(d); err != nil {
			return err
		}
	}
	for _, rule := range b.host.DeviceCgroupRules {
		r, err := parseRule(rule)
		if err != nil {
			return err
		}
		l.Resources.Devices = append(l.Resources.Devices, r)
	}
	return nil
}

// defaultRules are Docker's, the usual devices and no FUSE, but without 5:1: a
// container's /dev/console is its own terminal, that node would be the host's.
func defaultRules() []specs.LinuxDeviceCgroup {
	rule := func(allow bool, major, minor int64) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: "c", Major: number(major), Minor: number(minor), Access: allAccess}
	}
	return []specs.LinuxDeviceCgroup{
		{Allow: false, Access: allAccess},
		rule(true, 1, 5), rule(true, 1, 3), rule(true, 1, 9), rule(true, 1, 8), rule(true, 5, 0), rule(false, 10, 229),
	}
}

func (b *builder) device(d container.DeviceMapping) error {
	target := d.PathInContainer
	if target == "" {
		target = d.PathOnHost
	}
	access := d.CgroupPermissions
	if access == "" {
		access = allAccess
	}
	list, err := b.Devices(d.PathOnHost)
	if err != nil {
		return invalid("error gathering device information while adding custom device %q: %v", d.PathOnHost, cause(err))
	}
	l := b.spec.Linux
	for _, n := range list {
		source := n.Path
		n.Path = filepath.Join(target, strings.TrimPrefix(n.Path, filepath.Clean(d.PathOnHost)))
		l.Devices = slices.DeleteFunc(l.Devices, func(o specs.LinuxDevice) bool { return o.Path == n.Path })
		if b.remapped() && n.Path != source {
			// No node can be made there, and the runtime binds the one of the same name.
			b.spec.Mounts = append(b.spec.Mounts, bind(source, n.Path, "bind", "rprivate"))
		} else {
			l.Devices = append(l.Devices, n)
		}
		l.Resources.Devices = append(l.Resources.Devices, specs.LinuxDeviceCgroup{
			Allow: true, Type: n.Type, Major: number(n.Major), Minor: number(n.Minor), Access: access,
		})
	}
	return nil
}

// cause leaves out the path, which the message already has.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// parseRule reads one --device-cgroup-rule: "c 1:3 rwm".
func parseRule(s string) (specs.LinuxDeviceCgroup, error) {
	bad := invalid("invalid device cgroup rule format: '%s'", s)
	fields := strings.Split(s, " ")
	if len(fields) != 3 || !slices.Contains([]string{"a", "b", "c"}, fields[0]) || checkAccess(fields[2]) != nil {
		return specs.LinuxDeviceCgroup{}, bad
	}
	r := specs.LinuxDeviceCgroup{Allow: true, Type: fields[0], Access: fields[2]}
	major, minor, ok := strings.Cut(fields[1], ":")
	if !ok {
		return r, bad
	}
	for _, n := range []struct {
		text string
		to   **int64
	}{{major, &r.Major}, {minor, &r.Minor}} {
		if n.text == "*" {
			continue
		}
		v, err := strconv.ParseUint(n.text, 10, 31)
		if err != nil {
			return r, bad
		}
		*n.to = number(int64(v))
	}
	return r, nil
}

func checkAccess(s string) error {
	if s == "" || len(s) > len(allAccess) || strings.Trim(s, allAccess) != "" {
		return invalid("invalid device mode: %s", s)
	}
	return nil
}

// HostDevices lists the device nodes at path: the node that it is or links to,
// or those below the directory, without terminals and what is private to an
// engine.
func HostDevices(path string) ([]specs.LinuxDevice, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(real)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		d, ok := deviceOf(filepath.Clean(path), info)
		if !ok {
			return nil, errors.New("not a device node")
		}
		return []specs.LinuxDevice{d}, nil
	}
	var list []specs.LinuxDevice
	err = filepath.WalkDir(real, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.IsDir() && slices.Contains([]string{"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"}, e.Name()) {
			return filepath.SkipDir
		}
		if e.Type()&fs.ModeDevice == 0 || e.Name() == "console" {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return nil // gone meanwhile
		}
		if d, ok := deviceOf(filepath.Join(path, strings.TrimPrefix(name, real)), info); ok {
			list = append(list, d)
		}
		return nil
	})
	return list, err
}

func deviceOf(path string, info fs.FileInfo) (specs.LinuxDevice, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode()&fs.ModeDevice == 0 {
		return specs.LinuxDevice{}, false
	}
	kind := "b"
	if info.Mode()&fs.ModeCharDevice != 0 {
		kind = "c"
	}
	// The kernel's encoding of a device number in 64 bits.
	dev := st.Rdev
	major := int64(dev>>8&0xfff | dev>>32&^uint64(0xfff))
	minor := int64(dev&0xff | dev>>12&0xffffff00)
	mode, uid, gid := info.Mode().Perm(), st.Uid, st.Gid
	return specs.LinuxDevice{Path: path, Type: kind, Major: major, Minor: minor, FileMode: &mode, UID: &uid, GID: &gid}, true
}
