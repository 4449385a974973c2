package harness

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// place is what a test must leave as it found it: one line a thing.
type place struct {
	mounts, links, processes []string
}

// firstLook is the lab before its first engine; engines counts those that live.
var (
	firstLook = sync.OnceValue(look)
	engines   atomic.Int32
)

func look() place {
	var p place
	b, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(b)) {
		p.mounts = append(p.mounts, strings.TrimSpace(line))
	}
	ifaces, _ := net.Interfaces()
	for _, iface := range ifaces {
		p.links = append(p.links, iface.Name)
	}
	for _, pid := range Processes() {
		p.processes = append(p.processes, fmt.Sprintf("%d %s", pid, strings.Join(cmdline(pid), " ")))
	}
	return p
}

// Watch looks around and returns what a test calls at its end: it fails the test
// for each mount, link and process that was not there before, and for what more
// lists.
func Watch(t testing.TB, more func() []string) (end func(patience time.Duration)) {
	before := look()
	return func(patience time.Duration) {
		t.Helper()
		before.compare(t, patience, more)
	}
}

// compare waits until everything is as before: the kernel takes links and
// processes down a moment after they were let go.
func (before place) compare(t testing.TB, patience time.Duration, more func() []string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := append(before.left(), more()...)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("left behind:\n  %s", strings.Join(left, "\n  "))
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (before place) left() []string {
	now := look()
	var left []string
	left = append(left, added("mount ", before.mounts, now.mounts)...)
	left = append(left, added("link ", before.links, now.links)...)
	for _, line := range added("process ", before.processes, now.processes) {
		if !strings.Contains(line, "<defunct>") {
			left = append(left, line)
		}
	}
	return left
}

// left lists what of an engine outlived its containers.
func (e *Engine) left() []string {
	var left []string
	for _, dir := range e.Cgroups() {
		left = append(left, "cgroup "+dir)
	}
	for _, name := range []string{"containers", "volumes"} {
		entries, _ := os.ReadDir(filepath.Join(e.DataRoot, name))
		for _, entry := range entries {
			if entry.IsDir() && name == "containers" {
				left = append(left, "folder "+filepath.Join(name, entry.Name()))
			}
		}
	}
	return left
}

func added(kind string, before, now []string) []string {
	var lines []string
	for _, line := range now {
		if !slices.Contains(before, line) {
			lines = append(lines, kind+line)
		}
	}
	return lines
}

// Cgroups lists the engine's cgroup parent and what is below it.
func (e *Engine) Cgroups() []string {
	return Cgroups(e.CgroupParent)
}

// Cgroups lists the cgroup of that name and what is below it, in each hierarchy.
func Cgroups(name string) []string {
	var left []string
	for _, root := range CgroupRoots() {
		_ = filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				left = append(left, path)
			}
			return nil
		})
	}
	return left
}

// CgroupRoots lists where the hierarchies are mounted.
func CgroupRoots() []string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	var roots []string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		sep := slices.Index(f, "-")
		if sep > 0 && len(f) > sep+1 && (f[sep+1] == "cgroup" || f[sep+1] == "cgroup2") {
			roots = append(roots, f[4])
		}
	}
	return roots
}
