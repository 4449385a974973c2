package runtime

import (
	"maps"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
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

func timeOffsets(l *specs.Linux) []wire.TimeOffset {
	var list []wire.TimeOffset
	for _, clock := range slices.Sorted(maps.Keys(l.TimeOffsets)) {
		o := l.TimeOffsets[clock]
		list = append(list, wire.TimeOffset{Clock: clock, Secs: o.Secs, Nanosecs: o.Nanosecs})
	}
	return list
}
