package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// setting is one value for one file of a group.
type setting struct {
	option     string // in the user's words
	controller string
	file       string
	value      string
	other      *alternative // if file is missing
	// discarded is the warning if the kernel has neither file; without it that
	// is an error.
	discarded string
}

// alternative is the same limit as another scheduler of the kernel takes it.
type alternative struct{ file, value string }

func (s setting) String() string { return s.controller + " " + s.file + " = " + s.value }

// set writes one setting; it returns the warning if the kernel lacks it.
func (g *Group) set(s setting) (warning string, err error) {
	h, ok := g.layout.find(s.controller)
	if ok {
		err = write(filepath.Join(h.dir(g.path), s.file), s.value)
		if errors.Is(err, fs.ErrNotExist) && s.other != nil {
			err = write(filepath.Join(h.dir(g.path), s.other.file), s.other.value)
		}
	}
	switch {
	case ok && err == nil:
		return "", nil
	case ok && !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s %s is refused by the kernel: %w", s.option, s.value, err)
	case s.discarded != "":
		return s.discarded, nil
	}
	return "", fmt.Errorf("%s %s: the kernel does not have %s, or the %s cgroup is not mounted", s.option, s.value, s.file, s.controller)
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
func noWeight() string {
	return "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."
}
func noThrottle(what string) string {
	return "Your kernel does not support " + what + " Block I/O limits or the cgroup is not mounted. Limits discarded."
}

func device(d specs.LinuxBlockIODevice) string { return fmt.Sprintf("%d:%d", d.Major, d.Minor) }

// limitOrMax writes the kernel's word for no limit.
func limitOrMax[T int64 | uint64](n T, none string) string {
	if int64(n) < 0 {
		return none
	}
	return fmt.Sprint(n)
}

// hugepages are the same on both but for a name.
func hugepages(limits []specs.LinuxHugepageLimit, suffix string) (list []setting) {
	for _, l := range limits {
		list = append(list, setting{option: "hugepage limit " + l.Pagesize, controller: "hugetlb",
			file: "hugetlb." + l.Pagesize + suffix, value: fmt.Sprint(l.Limit)})
	}
	return list
}

// limitDevices makes the kernel ask a program for each access to a device.
func (g *Group) limitDevices(rules []specs.LinuxDeviceCgroup) error {
	h, ok := g.layout.unified()
	if !ok {
		return nil
	}
	list, err := deviceRules(rules)
	if err != nil || allowsAll(list) {
		return err
	}
	dir, err := unix.Open(h.dir(g.path), unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open cgroup %s: %w", g.path, err)
	}
	defer unix.Close(dir)
	return attach(dir, program(list))
}
