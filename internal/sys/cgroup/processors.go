package cgroup

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/berth-containers/berth/internal/sys/cgroup/kernfs"
)

// Processors are the CPUs and memory nodes that groups may have, as lists such as
// 0-3,5; "" if the host does not say.
func Processors() (cpus, mems string) {
	h, ok := current().find("cpuset")
	if !ok {
		return "", ""
	}
	suffix := ""
	if h.unified {
		suffix = ".effective"
	}
	read := func(name string) string {
		text, err := kernfs.Read(filepath.Join(h.root, name+suffix))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(text)
	}
	return read("cpuset.cpus"), read("cpuset.mems")
}

// Within is whether each number of the list is in the other one.
func Within(list, of string) bool {
	have := ranges(of)
	for _, want := range ranges(list) {
		for n := want[0]; n <= want[1]; {
			next := n
			for _, r := range have {
				if r[0] <= n && n <= r[1] {
					next = r[1] + 1
				}
			}
			if next == n {
				return false
			}
			n = next
		}
	}
	return true
}

// ranges reads a list; what is no number is left out.
func ranges(list string) (all [][2]int) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		a, errA := strconv.Atoi(first)
		b, errB := strconv.Atoi(last)
		if errA == nil && errB == nil {
			all = append(all, [2]int{a, b})
		}
	}
	return all
}
