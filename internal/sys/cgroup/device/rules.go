// Package device says which devices a group may use. On v1 the rules are lines
// for its files; on v2 they are a program that the kernel asks for each access:
// per access bit the last rule that is about it decides. The program goes with
// the group, so a crash leaves nothing more than the group itself.
package device

import (
	"fmt"
	"math"
	"strconv"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Rule allows or denies some accesses to some devices.
type Rule struct {
	allow        bool
	kind         byte // 'b', 'c', 'a' for both
	major, minor int64
	access       uint32 // BPF_DEVCG_ACC_*
}

const (
	anyNumber = -1
	allAccess = unix.BPF_DEVCG_ACC_READ | unix.BPF_DEVCG_ACC_WRITE | unix.BPF_DEVCG_ACC_MKNOD
)

// needed are the rules for the devices that every container has (OCI runtime
// specification, default devices), and for making nodes, which opens nothing.
func needed() []Rule {
	list := []Rule{
		{true, 'c', anyNumber, anyNumber, unix.BPF_DEVCG_ACC_MKNOD},
		{true, 'b', anyNumber, anyNumber, unix.BPF_DEVCG_ACC_MKNOD},
	}
	for _, d := range [][2]int64{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}, {136, anyNumber}} {
		list = append(list, Rule{true, 'c', d[0], d[1], allAccess})
	}
	return list
}

// Parse reads OCI's rules. Later rules win, and nothing is allowed before
// the first.
func Parse(list []specs.LinuxDeviceCgroup) ([]Rule, error) {
	var rules []Rule
	for _, d := range list {
		r := Rule{allow: d.Allow, major: anyNumber, minor: anyNumber}
		switch d.Type {
		case "", "a":
			r.kind = 'a'
		case "c", "u", "b":
			r.kind = d.Type[0]
			if r.kind == 'u' {
				r.kind = 'c'
			}
		default:
			return nil, invalidRule("type %q is not a, b or c", d.Type)
		}
		for _, n := range []struct{ to, from *int64 }{{&r.major, d.Major}, {&r.minor, d.Minor}} {
			if n.from == nil || *n.from == anyNumber {
				continue
			}
			if *n.from < 0 || *n.from > math.MaxInt32 {
				return nil, invalidRule("number %d is out of range", *n.from)
			}
			*n.to = *n.from
		}
		for _, c := range d.Access {
			bit := map[rune]uint32{'r': unix.BPF_DEVCG_ACC_READ, 'w': unix.BPF_DEVCG_ACC_WRITE, 'm': unix.BPF_DEVCG_ACC_MKNOD}[c]
			if bit == 0 {
				return nil, invalidRule("access %q is not made of r, w and m", d.Access)
			}
			r.access |= bit
		}
		if d.Access == "" {
			r.access = allAccess
		}
		rules = append(rules, r)
	}
	return append(rules, needed()...), nil
}

func invalidRule(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage("device rule: " + fmt.Sprintf(format, args...))
}

// everything is whether r is about all devices and accesses.
func (r Rule) everything() bool {
	return r.kind == 'a' && r.major == anyNumber && r.minor == anyNumber && r.access == allAccess
}

// AllowsAll is whether the rules forbid nothing.
func AllowsAll(rules []Rule) bool {
	all := false
	for _, r := range rules {
		if !r.allow {
			all = false
		} else if r.everything() {
			all = true
		}
	}
	return all
}

// String is what the files of v1 take.
func (r Rule) String() string {
	number := func(n int64) string {
		if n == anyNumber {
			return "*"
		}
		return strconv.FormatInt(n, 10)
	}
	s := string(r.kind) + " " + number(r.major) + ":" + number(r.minor) + " "
	for _, a := range []struct {
		bit  uint32
		name string
	}{{unix.BPF_DEVCG_ACC_READ, "r"}, {unix.BPF_DEVCG_ACC_WRITE, "w"}, {unix.BPF_DEVCG_ACC_MKNOD, "m"}} {
		if r.access&a.bit != 0 {
			s += a.name
		}
	}
	return s
}
