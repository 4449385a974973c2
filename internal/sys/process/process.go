// Package process sets what a process has by system calls of its own and hands
// on to what it executes: scheduler, I/O priority, processors, memory policy,
// personality, limits, security label.
//
// All of it is of the calling thread, which must be locked to its goroutine; the
// limits are of the process. Nothing outlives the process.
package process

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Attributes are resolved: numbers, as the kernel takes them. The zero value
// leaves everything as it is.
type Attributes struct {
	Scheduler   *Scheduler
	IOPriority  uint32 // class and level; 0 stays
	Affinity    Mask   // processors, once the cgroup is joined
	Memory      *MemoryPolicy
	Personality *uint32
	Label       Label
}

// Scheduler is a struct sched_attr. Times are in nanoseconds.
type Scheduler struct {
	Policy                    uint32
	Flags                     uint64
	Nice                      int32
	Priority                  uint32
	Runtime, Deadline, Period uint64
}

// Set makes it the thread's. A thread of SCHED_DEADLINE cannot make others, so
// this comes late.
func (s *Scheduler) Set() error {
	return unix.SchedSetAttr(0, &unix.SchedAttr{Policy: s.Policy, Flags: s.Flags, Nice: s.Nice, Priority: s.Priority,
		Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period}, 0)
}

// Classes of I/O priority (linux/ioprio.h).
const (
	IORealTime = 1 + iota
	IOBestEffort
	IOIdle

	ioClassShift = 13
	ioProcess    = 1 // IOPRIO_WHO_PROCESS: the thread
)

// IOPriority is a class with a level from 0, the first served, to 7.
func IOPriority(class, level uint32) uint32 { return class<<ioClassShift | level }

// SetIOPriority makes it the thread's.
func SetIOPriority(priority uint32) error {
	if _, _, e := unix.RawSyscall(unix.SYS_IOPRIO_SET, ioProcess, 0, uintptr(priority)); e != 0 {
		return e
	}
	return nil
}

// Mask is a set of processors or memory nodes.
type Mask []uint64

// SetAffinity binds the thread to processors.
func SetAffinity(m Mask) error {
	_, _, e := unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, 0, uintptr(len(m)*8), uintptr(unsafe.Pointer(unsafe.SliceData(m))))
	runtime.KeepAlive(m)
	if e != 0 {
		return e
	}
	return nil
}

// Affinity returns the thread's processors.
func Affinity() (Mask, error) {
	m := make(Mask, MaxMask/64)
	n, _, e := unix.RawSyscall(unix.SYS_SCHED_GETAFFINITY, 0, MaxMask/8, uintptr(unsafe.Pointer(unsafe.SliceData(m))))
	if e != 0 {
		return nil, fmt.Errorf("get the thread's processors: %w", e)
	}
	return m[:n/8], nil
}

// MemoryPolicy is from which NUMA nodes memory comes. Mode has the flags in it.
type MemoryPolicy struct {
	Mode  uint32
	Nodes Mask
}

// Set makes it the thread's.
func (p *MemoryPolicy) Set() error {
	bits := uintptr(0)
	if len(p.Nodes) > 0 {
		bits = uintptr(len(p.Nodes)*64 + 1) // the kernel takes one off
	}
	_, _, e := unix.RawSyscall(unix.SYS_SET_MEMPOLICY, uintptr(p.Mode), uintptr(unsafe.Pointer(unsafe.SliceData(p.Nodes))), bits)
	runtime.KeepAlive(p.Nodes)
	if e != 0 {
		return e
	}
	return nil
}

// SetPersonality changes how the kernel behaves towards programs.
func SetPersonality(domain uint32) error {
	if _, _, e := unix.RawSyscall(unix.SYS_PERSONALITY, uintptr(domain), 0, 0); e != 0 {
		return e
	}
	return nil
}

// LimitNumber is the number of a limit that is called name, such as RLIMIT_CORE.
func LimitNumber(name string) (int, bool) {
	for _, l := range [...]struct {
		name   string
		number int
	}{
		{"RLIMIT_AS", unix.RLIMIT_AS}, {"RLIMIT_CORE", unix.RLIMIT_CORE}, {"RLIMIT_CPU", unix.RLIMIT_CPU},
		{"RLIMIT_DATA", unix.RLIMIT_DATA}, {"RLIMIT_FSIZE", unix.RLIMIT_FSIZE}, {"RLIMIT_LOCKS", unix.RLIMIT_LOCKS},
		{"RLIMIT_MEMLOCK", unix.RLIMIT_MEMLOCK}, {"RLIMIT_MSGQUEUE", unix.RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", unix.RLIMIT_NICE},
		{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE}, {"RLIMIT_NPROC", unix.RLIMIT_NPROC}, {"RLIMIT_RSS", unix.RLIMIT_RSS},
		{"RLIMIT_RTPRIO", unix.RLIMIT_RTPRIO}, {"RLIMIT_RTTIME", unix.RLIMIT_RTTIME},
		{"RLIMIT_SIGPENDING", unix.RLIMIT_SIGPENDING}, {"RLIMIT_STACK", unix.RLIMIT_STACK},
	} {
		if l.name == name {
			return l.number, true
		}
	}
	return 0, false
}
