// Package limit turns OCI's resources into settings: which value belongs into
// which file of which controller, in the order in which the kernel takes them. It
// is pure: it reads and writes nothing, so the same resources give the same list
// on every host.
//
// A field that is absent, or 0 where OCI has 0 for "not given", makes no setting.
package limit

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Setting is one value for one file of a group.
type Setting struct {
	Option     string // in the user's words
	Controller string
	File       string
	Value      string
	Other      *Alternative // if File is missing
	// Discarded is Docker's warning for a host that has neither file; empty if
	// it has none.
	Discarded string
	// Optional: a host without the file needs none.
	Optional bool
	// Old cuts the value to go back to out of what the file shows before; nil: all of it.
	Old func(content string) string
}

// Alternative is the same limit as another scheduler of the kernel takes it.
type Alternative struct{ File, Value string }

func (s Setting) String() string { return s.Controller + " " + s.File + " = " + s.Value }

// line finds the line of key in a file of lines "key value…"; without one the
// value to go back to is key and none.
func line(key, none string) func(string) string {
	return func(content string) string {
		for l := range strings.Lines(content) {
			l = strings.TrimSpace(l)
			if first, _, _ := strings.Cut(l, " "); first == key {
				return l
			}
		}
		return key + " " + none
	}
}

func unsupported(what, fate string) string {
	return "Your kernel does not support " + what + " or the cgroup is not mounted. " + fate
}

// Docker's warnings.
const (
	noCPUQuota   = "Your kernel does not support CPU CFS quota. Quota discarded."
	noCPUPeriod  = "Your kernel does not support CPU CFS period. Period discarded."
	noOOMDisable = "Your kernel does not support OomKillDisable. OomKillDisable discarded."
)

func noMemory() string {
	return unsupported("memory limit capabilities", "Limitation discarded.")
}
func noSwap() string {
	return unsupported("swap limit capabilities", "Memory limited without swap.")
}
func noReservation() string {
	return unsupported("memory soft limit capabilities", "Limitation discarded.")
}
func noSwappiness() string {
	return unsupported("memory swappiness capabilities", "Memory swappiness discarded.")
}
func noPids() string   { return unsupported("PIDs limit capabilities", "PIDs limit discarded.") }
func noShares() string { return unsupported("CPU shares", "Shares discarded.") }
func noCpuset() string { return unsupported("cpuset", "Cpuset discarded.") }
func noWeight() string { return unsupported("Block I/O weight", "Weight discarded.") }
func noThrottle(what string) string {
	return unsupported(what+" Block I/O limits", "Limits discarded.")
}

// obsolete warns of what no kernel that is supported does any more.
func obsolete(m *specs.LinuxMemory) (warnings []string) {
	//lint:ignore SA1019 configurations still have it
	if given(m.Kernel) {
		warnings = append(warnings, "Kernel memory limit discarded: the kernel accounts it to the memory limit.")
	}
	return warnings
}

func device(d specs.LinuxBlockIODevice) string { return fmt.Sprintf("%d:%d", d.Major, d.Minor) }

// orMax writes the kernel's word for no limit.
func orMax(n int64) string {
	if n < 0 {
		return "max"
	}
	return fmt.Sprint(n)
}

// hugepages are the same on both but for a name, and on a hybrid host v2's
// controller is the one that v1 has no hierarchy of. The limit on reservations,
// since Linux 5.7, keeps a program from being killed at its first touch.
func hugepages(limits []specs.LinuxHugepageLimit, suffix string) (list []Setting, err error) {
	for _, l := range limits {
		if l.Pagesize == "" || strings.ContainsAny(l.Pagesize, "/.") {
			return nil, invalid("hugepage limit: page size %q is not such as 2MB", l.Pagesize)
		}
		value := fmt.Sprint(l.Limit)
		for _, kind := range []string{"", ".rsvd"} {
			name := "hugetlb." + l.Pagesize + kind
			s := Setting{Option: "hugepage limit " + l.Pagesize, Controller: "hugetlb", File: name + suffix, Value: value, Optional: kind != ""}
			if suffix != hugeMax {
				s.Other = &Alternative{name + hugeMax, value}
			}
			list = append(list, s)
		}
	}
	return list, nil
}

// hugeMax ends the names of v2.
const hugeMax = ".max"

func rdma(limits map[string]specs.LinuxRdma) (list []Setting) {
	for _, name := range sortedKeys(limits) {
		l := limits[name]
		value := name
		for _, v := range []struct {
			key string
			n   *uint32
		}{{"hca_handle", l.HcaHandles}, {"hca_object", l.HcaObjects}} {
			if v.n != nil {
				value += fmt.Sprintf(" %s=%d", v.key, *v.n)
			}
		}
		list = append(list, Setting{Option: "RDMA limit", Controller: "rdma", File: "rdma.max", Value: value,
			Old: line(name, "hca_handle=max hca_object=max")})
	}
	return list
}

// pids: -1 is no limit. 0 cannot hold for a group that is to have a process, and
// systemd refuses it: it is 1, which lets nothing fork either.
func pids(p *specs.LinuxPids) []Setting {
	if p == nil || p.Limit == nil {
		return nil
	}
	n := *p.Limit
	if n == 0 {
		n = 1
	}
	return []Setting{{Option: "PIDs limit", Controller: "pids", File: "pids.max", Value: orMax(n), Discarded: noPids()}}
}

func cpuset(c *specs.LinuxCPU) (list []Setting) {
	if c.Cpus != "" {
		list = append(list, Setting{Option: "cpuset CPUs", Controller: "cpuset", File: "cpuset.cpus", Value: c.Cpus, Discarded: noCpuset()})
	}
	if c.Mems != "" {
		list = append(list, Setting{Option: "cpuset memory nodes", Controller: "cpuset", File: "cpuset.mems", Value: c.Mems, Discarded: noCpuset()})
	}
	return list
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
