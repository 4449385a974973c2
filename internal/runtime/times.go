package runtime

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/timens"
)

const secondNanos = 1_000_000_000

// validateTimes checks the offsets of a time namespace.
func validateTimes(l *specs.Linux, p plan) error {
	if len(l.TimeOffsets) == 0 {
		return nil
	}
	switch {
	case p.all&unix.CLONE_NEWTIME == 0:
		return invalid("linux.timeOffsets is set, but linux.namespaces has no time namespace: add one, or take the offsets out")
	case !p.time:
		return invalid("linux.timeOffsets is set, but the time namespace is joined by its path and has its offsets already: take one of them out")
	}
	for clock, offset := range l.TimeOffsets {
		if clock != "monotonic" && clock != "boottime" {
			return invalid("linux.timeOffsets has no clock %q: use monotonic or boottime", clock)
		}
		if offset.Nanosecs >= secondNanos {
			return invalid("linux.timeOffsets.%s.nanosecs %d is not below a second, %d", clock, offset.Nanosecs, secondNanos)
		}
	}
	return nil
}

// earlyTime makes the new time namespace before the init is there if the kernel does
// not have an execve enter it: the plan then joins it. It belongs to the user namespace
// of the caller, who needs to be root there.
func earlyTime(p *plan, l *specs.Linux) (ns *os.File, err error) {
	if !p.time {
		return nil, nil
	}
	if byExec, err := timens.ByExec(); err != nil || byExec {
		return nil, err
	}
	text := wire.Offsets(timeOffsets(l))
	ns, err = timens.New(text)
	switch {
	case errors.Is(err, unix.ERANGE):
		return nil, invalid("%s", wire.OffsetsOutOfRange(text))
	case errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("a new time namespace in linux.namespaces needs root, or Linux 6.2: %w", err)
	case err != nil:
		return nil, err
	}
	p.time = false
	p.joins = append(p.joins, wire.Join{Flag: unix.CLONE_NEWTIME, Path: fmt.Sprintf("/proc/self/fd/%d", rawFd(ns))})
	return ns, nil
}

func timeOffsets(l *specs.Linux) []wire.TimeOffset {
	var list []wire.TimeOffset
	for _, clock := range slices.Sorted(maps.Keys(l.TimeOffsets)) {
		o := l.TimeOffsets[clock]
		list = append(list, wire.TimeOffset{Clock: clock, Secs: o.Secs, Nanosecs: o.Nanosecs})
	}
	return list
}
