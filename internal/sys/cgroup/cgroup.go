// Package cgroup makes control groups, sets their limits, and takes them away.
//
// A group is a path relative to each hierarchy's root. On a host with cgroup v1
// (hybrid or legacy) it is a directory in every hierarchy, the unified one
// included, which then gives an atomic kill; on v2 it is one directory. The
// directories above it are made as needed and stay; nothing else outside of the
// path is touched, but that on v2 the groups above hand their controllers down.
// A group lives in the kernel: what a crash leaves behind is found by its path
// and removed by Remove.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Mode is which cgroups the host has.
type Mode int

// The modes. None: no hierarchy is mounted.
const (
	None Mode = iota
	V1        // controllers in hierarchies of their own, with or without a unified one
	V2        // the unified hierarchy only
)

// Group is a group of every hierarchy.
type Group struct {
	path   string // absolute and clean
	layout *layout
}

// Detect tells which cgroups are mounted; the answer is kept.
func Detect() Mode { return current().mode }

// Create makes the group and sets its limits: Begin and Complete in one.
func Create(path string, res *specs.LinuxResources) (*Group, []string, error) {
	return create(current(), path, res)
}

// Begin makes the group in the unified hierarchy, where a process can be born in
// it (see Dir). A group of that name without processes is replaced. The caller
// goes on with Complete, or with Discard once nobody is in it.
func Begin(path string) (*Group, error) { return begin(current(), path) }

// Open returns the group at path, whether it exists or not.
func Open(path string) *Group { return &Group{filepath.Clean("/" + path), current()} }

func create(l *layout, path string, res *specs.LinuxResources) (*Group, []string, error) {
	g, err := begin(l, path)
	if err != nil {
		return nil, nil, err
	}
	warnings, err := g.Complete(res)
	if err != nil {
		g.Discard()
		return nil, nil, err
	}
	return g, warnings, nil
}

func begin(l *layout, path string) (*Group, error) {
	if l.mode == None {
		return nil, l.missing()
	}
	if !strings.HasPrefix(path, "/") && strings.Count(path, ":") == 2 {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("cgroup path %q is systemd's form; give a path such as /parent/name", path))
	}
	g := &Group{filepath.Clean("/" + path), l}
	if g.path == "/" {
		return nil, errdefs.ErrInvalidArgument.WithMessage("the root cgroup cannot be a container's; give a path below it")
	}
	if h, ok := l.unified(); ok {
		if err := h.make(g.path); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Complete makes the group in the hierarchies of v1 and sets its limits. A limit
// whose controller is missing is a warning in Docker's words; one that the kernel
// refuses is an error that names the option, the value and the file. After an
// error the group is as Begin left it.
func (g *Group) Complete(res *specs.LinuxResources) (warnings []string, err error) {
	if res == nil {
		res = &specs.LinuxResources{}
	}
	var made []hierarchy
	defer func() {
		if err != nil {
			g.rmdir(made)
		}
	}()
	for _, h := range g.layout.hierarchies {
		if h.unified {
			continue
		}
		if err := h.make(g.path); err != nil {
			return nil, err
		}
		made = append(made, h)
	}
	return g.limit(res)
}

// Discard removes what Begin made. Unlike Remove it ends nobody: a group that
// Complete found in use is another's.
func (g *Group) Discard() {
	if h, ok := g.layout.unified(); ok {
		g.rmdir([]hierarchy{h})
	}
}

// limit sets the limits of res.
func (g *Group) limit(res *specs.LinuxResources) ([]string, error) {
	var list []setting
	var err error
	if g.layout.mode == V2 {
		list, err = settingsV2(res)
	} else {
		list, err = settingsV1(res)
	}
	if err != nil {
		return nil, err
	}
	if err := g.handDown(list); err != nil {
		return nil, err
	}
	var warnings []string
	for _, s := range list {
		warning, err := g.set(s)
		if err != nil {
			return nil, err
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	if g.layout.mode == V2 {
		return warnings, g.limitDevices(res.Devices)
	}
	return warnings, nil
}

// rmdir removes the group's directories if nobody is in them.
func (g *Group) rmdir(list []hierarchy) {
	for _, h := range list {
		_ = unix.Rmdir(h.dir(g.path))
	}
}

// Dir is the group's directory in the unified hierarchy, where a process can be
// born in it (CLONE_INTO_CGROUP); empty on a host without one.
func (g *Group) Dir() string {
	h, ok := g.layout.unified()
	if !ok {
		return ""
	}
	return h.dir(g.path)
}

// Doors opens a file of each v1 hierarchy. A thread that writes 0 to it joins the
// group there, and so does what it then executes. Unlike moving a process, that
// does not wait for the kernel's grace period, which takes milliseconds.
func (g *Group) Doors() (doors []*os.File, err error) {
	for _, h := range g.layout.hierarchies {
		if h.unified {
			continue
		}
		path := filepath.Join(h.dir(g.path), "tasks")
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			for _, f := range doors {
				f.Close()
			}
			return nil, &fs.PathError{Op: "open cgroup", Path: path, Err: err}
		}
		doors = append(doors, os.NewFile(uintptr(fd), path))
	}
	return doors, nil
}

// Pids lists the processes of the group and of the groups below it.
func (g *Group) Pids() ([]int, error) {
	h, ok := g.layout.main()
	if !ok {
		return nil, g.layout.missing()
	}
	return pids(h.dir(g.path))
}

func pids(dir string) ([]int, error) {
	var list []int
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != dir {
			return nil // removed meanwhile
		}
		if err != nil || !d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP) {
			return nil
		}
		if err != nil {
			return err
		}
		for field := range strings.FieldsSeq(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return fmt.Errorf("read %s: %w", path, err)
			}
			if pid > 0 { // 0: a process of another pid namespace
				list = append(list, pid)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list processes of cgroup: %w", err)
	}
	return list, nil
}

// OOMKilled is whether the kernel killed a process of the group because it was
// out of memory. Without a memory controller it is false.
func (g *Group) OOMKilled() (bool, error) {
	h, ok := g.layout.find("memory")
	if !ok {
		return false, nil
	}
	file := "memory.oom_control"
	if h.unified {
		file = "memory.events"
	}
	n, err := counter(filepath.Join(h.dir(g.path), file), "oom_kill")
	if h.unified && errors.Is(err, fs.ErrNotExist) && g.exists() {
		return false, nil
	}
	return n > 0, err
}

func (g *Group) exists() bool {
	h, ok := g.layout.main()
	if !ok {
		return false
	}
	_, err := os.Stat(h.dir(g.path))
	return err == nil
}

// counter reads one line "key number" of a file; a missing line is 0.
func counter(file, key string) (int64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("read cgroup: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok && k == key {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read %s of %s: %w", key, file, err)
			}
			return n, nil
		}
	}
	return 0, nil
}

// write stores value in one write(2), as the kernel parses it, and never
// creates the file: a missing one means that there is no controller.
func write(file, value string) error {
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_TRUNC, 0)
	if err == nil {
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte(value))
	}
	if err != nil {
		return &fs.PathError{Op: fmt.Sprintf("write %q to", value), Path: file, Err: err}
	}
	return nil
}
