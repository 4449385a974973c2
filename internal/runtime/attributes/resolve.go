package attributes

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/process"
)

// policy is a scheduling policy's number; those that the kernel has no name for
// in x/sys are of linux/sched.h.
func policy(name specs.LinuxSchedulerPolicy) (uint32, bool) {
	switch name {
	case specs.SchedOther:
		return unix.SCHED_NORMAL, true
	case specs.SchedFIFO:
		return unix.SCHED_FIFO, true
	case specs.SchedRR:
		return unix.SCHED_RR, true
	case specs.SchedBatch:
		return unix.SCHED_BATCH, true
	case specs.SchedISO:
		return 4, true
	case specs.SchedIdle:
		return unix.SCHED_IDLE, true
	case specs.SchedDeadline:
		return unix.SCHED_DEADLINE, true
	}
	return 0, false
}

func schedulerFlag(name specs.LinuxSchedulerFlag) (uint64, bool) {
	switch name {
	case specs.SchedFlagResetOnFork:
		return unix.SCHED_FLAG_RESET_ON_FORK, true
	case specs.SchedFlagReclaim:
		return unix.SCHED_FLAG_RECLAIM, true
	case specs.SchedFlagDLOverrun:
		return unix.SCHED_FLAG_DL_OVERRUN, true
	case specs.SchedFlagKeepPolicy:
		return unix.SCHED_FLAG_KEEP_POLICY, true
	case specs.SchedFlagKeepParams:
		return unix.SCHED_FLAG_KEEP_PARAMS, true
	case specs.SchedFlagUtilClampMin:
		return unix.SCHED_FLAG_UTIL_CLAMP_MIN, true
	case specs.SchedFlagUtilClampMax:
		return unix.SCHED_FLAG_UTIL_CLAMP_MAX, true
	}
	return 0, false
}

func scheduler(s *specs.Scheduler) (*process.Scheduler, error) {
	if s == nil {
		return nil, nil
	}
	number, ok := policy(s.Policy)
	if !ok {
		return nil, invalid("process.scheduler.policy %q is unknown", s.Policy)
	}
	out := &process.Scheduler{Policy: number, Nice: s.Nice, Priority: uint32(s.Priority), Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period}
	for _, name := range s.Flags {
		flag, ok := schedulerFlag(name)
		if !ok {
			return nil, invalid("process.scheduler.flags: %q is unknown", name)
		}
		out.Flags |= flag
	}
	if s.Nice < -20 || s.Nice > 19 {
		return nil, invalid("process.scheduler.nice %d is not between -20 and 19", s.Nice)
	}
	realtime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR
	keeps := out.Flags&unix.SCHED_FLAG_KEEP_PARAMS != 0
	switch {
	case realtime && !keeps && (s.Priority < 1 || s.Priority > 99):
		return nil, invalid("process.scheduler.priority %d of policy %s is not between 1 and 99", s.Priority, s.Policy)
	case !realtime && s.Priority != 0:
		return nil, invalid("process.scheduler.priority %d needs the policy SCHED_FIFO or SCHED_RR, not %s", s.Priority, s.Policy)
	case s.Policy == specs.SchedDeadline:
		return out, deadline(s)
	case s.Runtime != 0 || s.Deadline != 0 || s.Period != 0:
		return nil, invalid("process.scheduler: runtime %d, deadline %d, period %d need the policy SCHED_DEADLINE, not %s", s.Runtime, s.Deadline, s.Period, s.Policy)
	}
	return out, nil
}

// deadline checks what sched_setattr(2) asks of the times.
func deadline(s *specs.Scheduler) error {
	period := s.Period
	if period == 0 {
		period = s.Deadline
	}
	if s.Runtime < 1024 || s.Runtime > s.Deadline || s.Deadline > period {
		return invalid("process.scheduler: runtime %d, deadline %d, period %d: needed is 1024 ≤ runtime ≤ deadline ≤ period", s.Runtime, s.Deadline, s.Period)
	}
	return nil
}

func ioPriority(p *specs.LinuxIOPriority) (uint32, error) {
	if p == nil {
		return 0, nil
	}
	if p.Priority < 0 || p.Priority > 7 {
		return 0, invalid("process.ioPriority.priority %d is not between 0 and 7", p.Priority)
	}
	level := uint32(p.Priority)
	switch p.Class {
	case specs.IOPRIO_CLASS_RT:
		return process.IOPriority(process.IORealTime, level), nil
	case specs.IOPRIO_CLASS_BE, "":
		return process.IOPriority(process.IOBestEffort, level), nil
	case specs.IOPRIO_CLASS_IDLE:
		return process.IOPriority(process.IOIdle, level), nil
	}
	return 0, invalid("process.ioPriority.class %q is unknown", p.Class)
}

// MemoryModes and MemoryFlags are those that are known.
func MemoryModes() []string {
	return []string{string(specs.MpolDefault), string(specs.MpolPreferred), string(specs.MpolBind), string(specs.MpolInterleave),
		string(specs.MpolLocal), string(specs.MpolPreferredMany), string(specs.MpolWeightedInterleave)}
}

// MemoryFlags see MemoryModes.
func MemoryFlags() []string {
	return []string{string(specs.MpolFNumaBalancing), string(specs.MpolFRelativeNodes), string(specs.MpolFStaticNodes)}
}

func memoryPolicy(p *specs.LinuxMemoryPolicy) (*process.MemoryPolicy, error) {
	if p == nil {
		return nil, nil
	}
	// The list is in the kernel's order.
	mode := slices.Index(MemoryModes(), string(p.Mode))
	if mode < 0 {
		return nil, invalid("linux.memoryPolicy.mode %q is unknown", p.Mode)
	}
	out := &process.MemoryPolicy{Mode: uint32(mode)}
	var err error
	if p.Nodes != "" {
		if out.Nodes, err = process.ParseMask(p.Nodes); err != nil {
			return nil, invalid("linux.memoryPolicy.nodes %q: %v; give a list such as 0-3,7", p.Nodes, err)
		}
	}
	switch p.Mode {
	case specs.MpolDefault, specs.MpolLocal:
		if p.Nodes != "" {
			return nil, invalid("linux.memoryPolicy.nodes %q: the mode %s takes no nodes", p.Nodes, p.Mode)
		}
	case specs.MpolPreferred:
	default:
		if p.Nodes == "" {
			return nil, invalid("linux.memoryPolicy.nodes is empty: the mode %s needs nodes", p.Mode)
		}
	}
	for _, name := range p.Flags {
		switch name {
		case specs.MpolFNumaBalancing:
			out.Mode |= unix.MPOL_F_NUMA_BALANCING
		case specs.MpolFRelativeNodes:
			out.Mode |= unix.MPOL_F_RELATIVE_NODES
		case specs.MpolFStaticNodes:
			out.Mode |= unix.MPOL_F_STATIC_NODES
		default:
			return nil, invalid("linux.memoryPolicy.flags: %q is unknown", name)
		}
	}
	if both := uint32(unix.MPOL_F_RELATIVE_NODES | unix.MPOL_F_STATIC_NODES); out.Mode&both == both {
		return nil, invalid("linux.memoryPolicy.flags: %s and %s exclude each other", specs.MpolFRelativeNodes, specs.MpolFStaticNodes)
	}
	return out, nil
}

func personality(p *specs.LinuxPersonality) (*uint32, error) {
	if p == nil {
		return nil, nil
	}
	if len(p.Flags) > 0 {
		return nil, invalid("linux.personality.flags %v: no flag is defined", p.Flags)
	}
	var domain uint32
	switch p.Domain {
	case specs.PerLinux:
	case specs.PerLinux32:
		domain = 8 // PER_LINUX32, linux/personality.h
	default:
		return nil, invalid("linux.personality.domain %q is unknown", p.Domain)
	}
	return &domain, nil
}
