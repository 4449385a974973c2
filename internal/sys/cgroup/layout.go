package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/cgroup/kernfs"
)

// hierarchy is one mounted tree of groups.
type hierarchy struct {
	root        string   // where it is mounted
	controllers []string // of v1; "name=systemd" is one
	unified     bool
}

// layout is what is mounted.
type layout struct {
	mode        Mode
	hierarchies []hierarchy
	err         error // why nothing is known
}

// current looks once: what is mounted does not change under an engine.
var current = sync.OnceValue(func() *layout {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return &layout{err: err}
	}
	defer f.Close()
	l, err := readMounts(f)
	if err != nil {
		return &layout{err: err}
	}
	return l
})

func (l *layout) missing() error {
	if l.err != nil {
		return fmt.Errorf("find cgroups: %w", l.err)
	}
	return errdefs.ErrFailedPrecondition.WithMessage("no cgroup hierarchy is mounted; mount one: mount -t cgroup2 none /sys/fs/cgroup")
}

// readMounts finds the hierarchies in a mountinfo. The first mount of each counts.
func readMounts(r io.Reader) (*layout, error) {
	l := &layout{mode: None}
	var unified *hierarchy
	s := bufio.NewScanner(r)
	for s.Scan() {
		before, after, ok := strings.Cut(s.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 3 {
			continue
		}
		root := unescape(left[4])
		switch right[0] {
		case "cgroup2":
			if unified == nil {
				unified = &hierarchy{root: root, unified: true}
			}
		case "cgroup":
			if c := controllers(right[2]); len(c) > 0 && !l.has(c[0]) {
				l.hierarchies = append(l.hierarchies, hierarchy{root: root, controllers: c})
			}
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read mountinfo: %w", err)
	}
	switch {
	case slices.ContainsFunc(l.hierarchies, func(h hierarchy) bool { return h.controllers[0] != "name=systemd" }):
		l.mode = V1
	case unified != nil:
		l.mode, l.hierarchies = V2, nil
	default:
		l.hierarchies = nil
	}
	if unified != nil && l.mode != None {
		l.hierarchies = append(l.hierarchies, *unified)
	}
	return l, nil
}

// controllers of a v1 hierarchy; a named one belongs to somebody else, but that
// systemd's must show where a process is.
func controllers(options string) []string {
	var list []string
	for o := range strings.SplitSeq(options, ",") {
		switch o {
		case "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb",
			"net_cls", "net_prio", "perf_event", "rdma", "misc", "name=systemd":
			list = append(list, o)
		}
	}
	return list
}

var octal = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func unescape(s string) string { return octal.Replace(s) }

func (l *layout) has(controller string) bool {
	return slices.ContainsFunc(l.hierarchies, func(h hierarchy) bool { return slices.Contains(h.controllers, controller) })
}

// find returns where a controller is; on v2, and for what v1 has no hierarchy
// of, that is the unified one.
func (l *layout) find(controller string) (hierarchy, bool) {
	for _, h := range l.hierarchies {
		if slices.Contains(h.controllers, controller) {
			return h, true
		}
	}
	return l.unified()
}

func (l *layout) unified() (hierarchy, bool) {
	if n := len(l.hierarchies); n > 0 && l.hierarchies[n-1].unified {
		return l.hierarchies[n-1], true
	}
	return hierarchy{}, false
}

// main is the hierarchy that tells which processes are in a group.
func (l *layout) main() (hierarchy, bool) {
	if len(l.hierarchies) == 0 {
		return hierarchy{}, false
	}
	if h, ok := l.unified(); ok {
		return h, true
	}
	if h, ok := l.find("pids"); ok {
		return h, true
	}
	return l.hierarchies[0], true
}

func (h hierarchy) dir(path string) string { return filepath.Join(h.root, path) }

func (h hierarchy) has(path string) bool {
	_, err := os.Stat(h.dir(path))
	return err == nil
}

// make makes the group and those above it. It begins again if one of these is
// taken away meanwhile, as an engine that ends does with its empty parent.
func (h hierarchy) make(path string) error {
	err := h.makeOnce(path)
	for i := 0; i < 10 && errors.Is(err, unix.ENOENT); i++ {
		err = h.makeOnce(path)
	}
	return err
}

func (h hierarchy) makeOnce(path string) error {
	// Mostly those above are there; a cpuset must look whether they are complete.
	if !slices.Contains(h.controllers, "cpuset") && unix.Mkdir(h.dir(path), 0o755) == nil {
		return nil
	}
	dir := h.root
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, part := range parts {
		parent := dir
		dir = filepath.Join(dir, part)
		err := unix.Mkdir(dir, 0o755)
		if errors.Is(err, unix.EEXIST) {
			if i < len(parts)-1 {
				if err := h.inherit(parent, dir); err != nil {
					return err
				}
				continue
			}
			if err := replace(dir); err != nil {
				return err
			}
			err = unix.Mkdir(dir, 0o755)
		}
		if err != nil {
			return &fs.PathError{Op: "make cgroup", Path: dir, Err: err}
		}
		if err := h.inherit(parent, dir); err != nil {
			_ = unix.Rmdir(dir)
			return err
		}
	}
	return nil
}

// replace takes a former group away, so that its counters and limits don't show
// in the new one, but not one that somebody is in.
func replace(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	list, listErr := pids(dir)
	if listErr == nil && len(list) == 0 { // groups are below it
		err = removeTree(dir)
	}
	if err == nil {
		return nil
	}
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf(
		"cgroup %s exists and is in use: %d processes are in it; end them, or choose another cgroupsPath", dir, len(list)))
}

// inherit gives a cpuset of v1 what it starts without and cannot run without.
// A group that another is just making may still lack it.
func (h hierarchy) inherit(parent, dir string) error {
	if !slices.Contains(h.controllers, "cpuset") {
		return nil
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		own, err := kernfs.Words(filepath.Join(dir, file))
		if err != nil {
			return err
		}
		if len(own) > 0 { // the other file may still be empty
			continue
		}
		inherited, err := kernfs.Words(filepath.Join(parent, file))
		if err != nil {
			return err
		}
		if len(inherited) == 0 { // the parent was taken away and another is making it
			return unix.ENOENT
		}
		if err := kernfs.Write(filepath.Join(dir, file), strings.Join(inherited, "")); err != nil {
			return err
		}
	}
	return nil
}
