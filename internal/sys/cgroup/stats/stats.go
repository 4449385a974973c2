// Package stats reads what a group has used: all that runc's "events --stats" and
// Docker's stats show, from v1 and v2 in the same shape. What a kernel does not
// count is zero or absent, never an error; an error is a file that is there and
// cannot be read. Nothing is kept.
package stats

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berth-containers/berth/internal/sys/cgroup/kernfs"
)

// Stats is one reading.
type Stats struct {
	CPU       CPU
	Memory    Memory
	Pids      Pids
	IO        IO
	Hugepages map[string]Hugepage // by page size, as "2MB"
	RDMA      map[string]RDMA     // by device
}

// CPU is time since the group was made.
type CPU struct {
	Usage, User, System              time.Duration
	PerCPU, PerCPUUser, PerCPUSystem []time.Duration // v1 only
	Periods, ThrottledPeriods        uint64          // of the quota
	Throttled                        time.Duration
	Bursts                           uint64
	Burst                            time.Duration
	Pressure                         *Pressure // v2; nil without PSI
}

// Memory is in bytes; a limit that is not set is the kernel's biggest number.
type Memory struct {
	Memory    Usage
	Swap      Usage // v1: of memory and swap together; v2: of swap alone
	Kernel    Usage // v1
	KernelTCP Usage // v1
	Cache     uint64
	// UseHierarchy: the groups below are counted too.
	UseHierarchy bool
	// Raw is memory.stat.
	Raw            map[string]uint64
	OOM, OOMKilled uint64 // how often
	Pressure       *Pressure
}

// Usage is what a limit is for.
type Usage struct{ Usage, Peak, Limit, Failures uint64 }

// Pids counts tasks; Limit 0: none.
type Pids struct{ Current, Limit uint64 }

// Hugepage is in bytes; Failures counts refused allocations.
type Hugepage struct{ Usage, Peak, Failures uint64 }

// RDMA is what is used and allowed of one device; no limit is the biggest number.
type RDMA struct{ Handles, Objects, HandlesLimit, ObjectsLimit uint64 }

// IO is per device and operation, in v1's names: Read, Write, and on v1 Sync,
// Async, Discard, Total.
type IO struct {
	ServiceBytes, Serviced                      []Entry
	ServiceTime, WaitTime, Merged, Queued, Time []Entry // v1 with bfq
	Pressure                                    *Pressure
}

// Entry is a counter of one device.
type Entry struct {
	Major, Minor uint64
	Op           string
	Value        uint64
}

// Pressure is how long processes waited (PSI): some of them, or all.
type Pressure struct{ Some, Full Stall }

// Stall is averages in percent over 10, 60 and 300 s, and the time in all.
type Stall struct {
	Avg10, Avg60, Avg300 float64
	Total                time.Duration
}

// Find tells the directory of a controller's group.
type Find func(controller string) (dir string, ok bool)

// V1 reads a group of several hierarchies.
func V1(find Find) (Stats, error) {
	r := reader{find: find}
	s := Stats{CPU: r.cpuV1(), Memory: r.memoryV1(), Pids: r.pids(), IO: r.ioV1(), RDMA: r.rdma(),
		Hugepages: r.hugepages(".usage_in_bytes", ".max_usage_in_bytes")}
	return s, r.err
}

// V2 reads a group of the unified hierarchy.
func V2(dir string) (Stats, error) {
	r := reader{find: func(string) (string, bool) { return dir, true }}
	s := Stats{CPU: r.cpuV2(), Memory: r.memoryV2(), Pids: r.pids(), IO: r.ioV2(), RDMA: r.rdma(),
		Hugepages: r.hugepages(".current", ".max_usage")}
	return s, r.err
}

// reader keeps the first error, so that what is read says only what it is.
type reader struct {
	find Find
	err  error
}

// text is a file's content; one that is missing, or that this kernel does not
// give, is empty.
func (r *reader) text(controller, file string) string {
	dir, ok := r.find(controller)
	if !ok || r.err != nil {
		return ""
	}
	s, err := kernfs.Read(filepath.Join(dir, file))
	if err != nil && !optional(err) {
		r.err = err
	}
	return s
}

func (r *reader) number(controller, file string) uint64 {
	s := r.text(controller, file)
	if s == "" {
		return 0
	}
	n, err := kernfs.Parse(s)
	if err != nil && r.err == nil {
		r.err = err
	}
	return n
}

func (r *reader) table(controller, file string) map[string]uint64 {
	return kernfs.ParseTable(r.text(controller, file))
}

func (r *reader) pids() Pids {
	p := Pids{Current: r.number("pids", "pids.current")}
	if limit := r.text("pids", "pids.max"); limit != "max" && limit != "" {
		p.Limit = r.number("pids", "pids.max")
	}
	return p
}

// hugepages finds the page sizes by the files that the group has.
func (r *reader) hugepages(usage, peak string) map[string]Hugepage {
	dir, ok := r.find("hugetlb")
	if !ok {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && r.err == nil {
			r.err = err
		}
		return nil
	}
	list := map[string]Hugepage{}
	for _, e := range entries {
		size, isPages := strings.CutPrefix(e.Name(), "hugetlb.")
		size, isUsage := strings.CutSuffix(size, usage)
		if !isPages || !isUsage || strings.Contains(size, ".") {
			continue
		}
		h := Hugepage{Usage: r.number("hugetlb", e.Name()), Peak: r.number("hugetlb", "hugetlb."+size+peak)}
		h.Failures = r.number("hugetlb", "hugetlb."+size+".failcnt") + r.table("hugetlb", "hugetlb."+size+".events")["max"]
		list[size] = h
	}
	return list
}

func (r *reader) rdma() map[string]RDMA {
	list := map[string]RDMA{}
	for file, limits := range map[string]bool{"rdma.current": false, "rdma.max": true} {
		for line := range strings.Lines(r.text("rdma", file)) {
			f := strings.Fields(line)
			if len(f) == 0 {
				continue
			}
			d, values := list[f[0]], pairs(f[1:])
			if limits {
				d.HandlesLimit, d.ObjectsLimit = values["hca_handle"], values["hca_object"]
			} else {
				d.Handles, d.Objects = values["hca_handle"], values["hca_object"]
			}
			list[f[0]] = d
		}
	}
	return list
}

// pairs reads words "key=number" and skips others.
func pairs(words []string) map[string]uint64 {
	m := map[string]uint64{}
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if n, err := kernfs.Parse(value); ok && err == nil {
			m[key] = n
		}
	}
	return m
}

func sortEntries(list []Entry) []Entry {
	slices.SortStableFunc(list, func(a, b Entry) int {
		if a.Major != b.Major {
			return compare(a.Major, b.Major)
		}
		return compare(a.Minor, b.Minor)
	})
	return list
}

func compare(a, b uint64) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}
