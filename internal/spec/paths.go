package spec

import "github.com/moby/moby/api/types/container"

// HiddenPaths are the paths that a container cannot see, and those that it cannot
// write: its own, or the usual ones if it has not said; none if it is privileged.
func HiddenPaths(h *container.HostConfig) (masked, readOnly []string) {
	masked, readOnly = h.MaskedPaths, h.ReadonlyPaths
	if s, err := parseSecurity(h.SecurityOpt); h.Privileged || err == nil && s.openPaths {
		return masked, readOnly
	}
	if masked == nil {
		masked = []string{
			"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
			"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
			"/sys/devices/virtual/powercap", "/sys/firmware",
		}
	}
	if readOnly == nil {
		readOnly = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
	}
	return masked, readOnly
}
