// Package caps sets the capabilities of the calling thread; what it executes
// next inherits them.
package caps

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// names in the kernel's order: CAP_CHOWN is 0.
var names = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// Names lists every capability that is known here.
func Names() []string { return names[:] }

// Set is a set of capabilities.
type Set uint64

// String lists the names.
func (s Set) String() string {
	var list []string
	for i, n := range names {
		if s&(1<<i) != 0 {
			list = append(list, n)
		}
	}
	return strings.Join(list, " ")
}

// Parse returns the named capabilities, and the names that are unknown.
func Parse(list []string) (s Set, unknown []string) {
next:
	for _, name := range list {
		for i, n := range names {
			if n == name {
				s |= 1 << i
				continue next
			}
		}
		unknown = append(unknown, name)
	}
	return s, unknown
}

// Sets are the five sets of a thread.
type Sets struct{ Bounding, Effective, Permitted, Inheritable, Ambient Set }

// Current returns the thread's permitted set.
func Current() (Set, error) {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if err := unix.Capget(&h, &d[0]); err != nil {
		return 0, fmt.Errorf("get capabilities: %w", err)
	}
	return Set(d[0].Permitted) | Set(d[1].Permitted)<<32, nil
}

// Bounding returns the thread's bounding set.
func Bounding() (s Set, err error) {
	for i := range len(names) {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(i), 0, 0, 0)
		if err == unix.EINVAL {
			break // above the last one that this kernel knows
		}
		if err != nil {
			return 0, fmt.Errorf("get the bounding set: %w", err)
		}
		s |= Set(has) << i
	}
	return s, nil
}

// DropBounding takes everything but keep out of the thread's bounding set.
func DropBounding(keep Set) error {
	for i := range uintptr(64) {
		if keep&(1<<i) != 0 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, i, 0, 0, 0)
		if err == unix.EINVAL {
			return nil // above the last one that this kernel knows
		}
		if err != nil {
			return fmt.Errorf("drop capability %d from the bounding set: %w", i, err)
		}
	}
	return nil
}

// Apply sets everything but the bounding set.
func Apply(s Sets) error {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	d := [2]unix.CapUserData{
		{Effective: uint32(s.Effective), Permitted: uint32(s.Permitted), Inheritable: uint32(s.Inheritable)},
		{Effective: uint32(s.Effective >> 32), Permitted: uint32(s.Permitted >> 32), Inheritable: uint32(s.Inheritable >> 32)},
	}
	if err := unix.Capset(&h, &d[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && err != unix.EINVAL {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	for i := range uintptr(len(names)) {
		if s.Ambient&(1<<i) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, i, 0, 0); err != nil {
			return fmt.Errorf("raise ambient capability %s: %w", names[i], err)
		}
	}
	return nil
}
