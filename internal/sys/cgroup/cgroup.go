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

	"github.com/berth-containers/berth/internal/sys/cgroup/kernfs"
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

// Options describe a new group.
type Options struct {
	Resources *specs.LinuxResources
	// Discard makes a limit that the host lacks a warning in Docker's words,
	// where Docker has one. Otherwise it is an error that names the controller
	// and the next step.
	Discard bool
	// Owner, if set, gets a group of v2 delegated: the directory and the files
	// that the kernel lists in /sys/kernel/cgroup/delegate.
	Owner *Owner
}

// Owner is a user of the host.
type Owner struct{ UID, GID int }

// Create makes the group and sets its limits: Begin and Complete in one.
func Create(path string, o Options) (*Group, []string, error) {
	return create(current(), path, o)
}

// Begin makes the group in the unified hierarchy, where a process can be born in
// it (see Dir). A group of that name without processes is replaced, one with
// processes is a Conflict that tells how many. The caller goes on with Complete,
// or with Discard once nobody is in it.
func Begin(path string) (*Group, error) { return begin(current(), path) }

// Open returns the group at path, whether it exists or not.
func Open(path string) *Group { return &Group{filepath.Clean("/" + path), current()} }

// Below is the group at the path sub in g, for one more process of a container
// that has groups of its own.
func (g *Group) Below(sub string) (*Group, error) {
	if err := checkPath(sub); err != nil {
		return nil, err
	}
	return &Group{filepath.Join(g.path, sub), g.layout}, nil
}

// Of is the group of v2 that the process is in, which is g or below it.
func (g *Group) Of(pid int) (*Group, error) {
	lines, err := kernfs.Read("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(lines) {
		path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if ok && strings.HasPrefix(path, g.path+"/") {
			return &Group{path, g.layout}, nil
		}
	}
	return nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
		"cgroup %s hands controllers down and can hold no process; name one below it with --cgroup", g.path))
}

func checkPath(path string) error {
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." || strings.ContainsAny(part, "\x00\n") {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("cgroup path %q leads out of its parent; give one without .. and line breaks", path))
		}
	}
	return nil
}

func create(l *layout, path string, o Options) (*Group, []string, error) {
	g, err := begin(l, path)
	if err != nil {
		return nil, nil, err
	}
	warnings, err := g.Complete(o)
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
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("cgroup path %q is systemd's form; give a path such as /parent/name, or use --systemd-cgroup", path))
	}
	if err := checkPath(path); err != nil {
		return nil, err
	}
	g := &Group{filepath.Clean("/" + path), l}
	if g.path == "/" {
		return nil, errdefs.ErrInvalidArgument.WithMessage("the root cgroup cannot be a container's; give a path below it")
	}
	h, ok := l.unified()
	if !ok {
		return g, nil
	}
	if err := h.make(g.path); err != nil {
		if forbidden(err) && os.Geteuid() != 0 {
			err = errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
				"%v; give a cgroupsPath below one that is delegated to this user, or use --systemd-cgroup", err))
		}
		return nil, err
	}
	if err := usable(g); err != nil {
		g.Discard()
		return nil, err
	}
	return g, nil
}

// Complete makes the group in the hierarchies of v1 and sets its limits. A limit
// that the kernel refuses is an error that names the option, the value and the
// file. After an error the group is as Begin left it.
func (g *Group) Complete(o Options) (warnings []string, err error) {
	var made []hierarchy
	defer func() {
		if err != nil {
			rmdir(g, made)
		}
	}()
	for _, h := range g.layout.hierarchies {
		if h.unified {
			continue
		}
		err := h.make(g.path)
		if forbidden(err) && os.Geteuid() != 0 {
			continue // a limit of this hierarchy is refused below
		}
		if err != nil {
			return nil, err
		}
		made = append(made, h)
	}
	return g.settle(o)
}

// Discard removes what Begin made. Unlike Remove it ends nobody: a group that
// Complete found in use is another's.
func (g *Group) Discard() {
	if h, ok := g.layout.unified(); ok {
		rmdir(g, []hierarchy{h})
	}
}

// Adopt sets the limits of a group that somebody else has made and put processes
// in, as systemd does. Hierarchies in which it is missing are added. An error
// leaves it to its maker.
func Adopt(path string, o Options) (*Group, []string, error) {
	g := Open(path)
	if g.layout.mode == None {
		return nil, nil, g.layout.missing()
	}
	for _, h := range g.layout.hierarchies {
		if h.has(g.path) {
			continue
		}
		err := h.make(g.path)
		if err != nil && (!forbidden(err) || os.Geteuid() == 0) {
			return nil, nil, err
		}
	}
	warnings, err := g.settle(o)
	return g, warnings, err
}

// forbidden is whether the user may not make groups there.
func forbidden(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)
}

// settle is what follows once the directories are there.
func (g *Group) settle(o Options) ([]string, error) {
	warnings, err := g.limit(o.Resources, o.Discard)
	if err == nil && o.Owner != nil {
		err = delegate(g, *o.Owner)
	}
	return warnings, err
}

// rmdir removes the group's directories if nobody is in them.
func rmdir(g *Group, list []hierarchy) {
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
		if errors.Is(err, unix.ENOENT) && os.Geteuid() != 0 {
			continue // where the user may make no group
		}
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
	table, err := kernfs.Table(filepath.Join(h.dir(g.path), file))
	if h.unified && errors.Is(err, fs.ErrNotExist) && g.exists() {
		return false, nil
	}
	return table["oom_kill"] > 0, err
}

func (g *Group) exists() bool {
	h, ok := g.layout.main()
	return ok && h.has(g.path)
}

// existsIn is whether the controller's hierarchy has the group.
func (g *Group) existsIn(controller string) bool {
	h, ok := g.layout.find(controller)
	return ok && h.has(g.path)
}
