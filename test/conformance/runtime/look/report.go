// Package look is what a process sees of itself and of its place. The probe, a
// small static program, prints it as JSON from within a container, and the
// conformance tests read it.
package look

import (
	"slices"
	"strings"
)

// Report is one look around. What cannot be read is empty.
type Report struct {
	Args, Env        []string
	Cwd, Executable  string
	Pid, Ppid        int
	Sid, Pgid        int
	UID, EUID        int
	GID, EGID        int
	Groups           []int
	Umask            int
	Hostname, Domain string
	Machine          string // of uname
	OOMScoreAdj      int
	Cgroup           string               // /proc/self/cgroup
	UIDMap, GIDMap   string               // /proc/self/uid_map, fields parted by one space
	TimeOffsets      map[string][2]string // clock → seconds, nanoseconds
	Monotonic        int64                // seconds
	Boottime         int64
	Attr             string               // /proc/self/attr/current
	Namespaces       map[string]string    // name → "mnt:[4026531841]"
	Mounts           []Mount              // in the order of /proc/self/mountinfo
	Status           map[string]string    // /proc/self/status
	Limits           map[string][2]string // "Max open files" → soft, hard
	Fds              map[int]string       // open when the program began
	Sched            Sched
	IOPriority       IOPriority
	Personality      uint
	MemoryPolicy     MemoryPolicy
	Affinity         []int // CPUs
	Links            []string
	Terminal         *Terminal // of descriptor 0
	Keyring          int       // serial of the session keyring
}

// Mount is a line of /proc/self/mountinfo.
type Mount struct {
	ID, Parent                int
	Root, Point, Type, Source string
	Options, Super            []string
	Propagation               []string // shared:1, master:2, unbindable
}

// Sched is what sched_getattr says.
type Sched struct {
	Policy, Flags             uint64
	Nice, Priority            int
	Runtime, Deadline, Period uint64
}

// IOPriority is ioprio_get's answer in two.
type IOPriority struct{ Class, Level int }

// MemoryPolicy is get_mempolicy's answer; Mode has the flags in it.
type MemoryPolicy struct {
	Mode  int
	Nodes []int
}

// Terminal is the window's size.
type Terminal struct {
	Rows, Columns int
	Name          string
}

// Mount returns the topmost mount at point.
func (r *Report) Mount(point string) (Mount, bool) {
	for _, m := range slices.Backward(r.Mounts) {
		if m.Point == point {
			return m, true
		}
	}
	return Mount{}, false
}

// Has says whether all the options are set on the mount.
func (m Mount) Has(options ...string) bool {
	for _, o := range options {
		if !slices.Contains(m.Options, o) && !slices.Contains(m.Super, o) {
			return false
		}
	}
	return true
}

// Is says whether the mount has a propagation of that kind: shared, master or
// unbindable; "private" is none of these.
func (m Mount) Is(kind string) bool {
	if kind == "private" {
		return len(m.Propagation) == 0
	}
	return slices.ContainsFunc(m.Propagation, func(p string) bool { return p == kind || strings.HasPrefix(p, kind+":") })
}

// Getenv returns an environment variable's value and whether it is set.
func (r *Report) Getenv(name string) (string, bool) {
	for _, e := range r.Env {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value, true
		}
	}
	return "", false
}
