package spec

import (
	"fmt"
	"path"
	"runtime"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// Validate returns InvalidArgument, in Docker's words where it has some, for
// what no specification can be made of. What depends on the host's files is
// found by Build.
func Validate(c *container.Config, h *container.HostConfig) error {
	if c.WorkingDir != "" && !path.IsAbs(c.WorkingDir) {
		return invalid("the working directory '%s' is invalid, it needs to be an absolute path", c.WorkingDir)
	}
	if _, err := parseSecurity(h.SecurityOpt); err != nil {
		return err
	}
	if _, err := capabilitiesOf(h); err != nil {
		return err
	}
	if _, err := rlimits(h.Ulimits); err != nil {
		return err
	}
	if _, err := groups(h.GroupAdd, nil); err != nil {
		return err
	}
	for dst, options := range h.Tmpfs {
		if !path.IsAbs(dst) || path.Clean(dst) == "/" {
			return invalid("invalid mount path: '%s' mount path must be absolute", dst)
		}
		if _, err := tmpfsOptions(strings.Split(options, ",")); err != nil {
			return err
		}
	}
	for key := range h.Sysctls {
		if err := checkSysctl(dotted(key), h.NetworkMode.IsHost(), h.IpcMode.IsHost(), h.UTSMode.IsHost()); err != nil {
			return err
		}
	}
	if h.Cgroup != "" {
		return invalid("a cgroup of another container (%s) cannot be joined", h.Cgroup)
	}
	if err := validateDevices(h); err != nil {
		return err
	}
	for _, check := range []func(*container.HostConfig) error{validateMemory, validateCPU, validateOther, validateForeign} {
		if err := check(h); err != nil {
			return err
		}
	}
	return nil
}

func validateDevices(h *container.HostConfig) error {
	for _, d := range h.Devices {
		if d.CgroupPermissions != "" {
			if err := checkAccess(d.CgroupPermissions); err != nil {
				return err
			}
		}
		if !path.IsAbs(d.PathOnHost) {
			return invalid("%s is not an absolute path", d.PathOnHost)
		}
		if d.PathInContainer != "" && !path.IsAbs(d.PathInContainer) {
			return invalid("%s is not an absolute path", d.PathInContainer)
		}
	}
	for _, rule := range h.DeviceCgroupRules {
		if _, err := parseRule(rule); err != nil {
			return err
		}
	}
	return nil
}

// minMemory is Docker's, too: with less, not even an init starts.
const minMemory = 6 << 20

func validateMemory(h *container.HostConfig) error {
	switch {
	case h.Memory != 0 && h.Memory < minMemory:
		return invalid("Minimum memory limit allowed is 6MB")
	case h.MemorySwap > 0 && h.Memory == 0:
		return invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
	case h.MemorySwap < -1:
		return invalid("Invalid memoryswap limit %d: give a size, or -1 for unlimited swap", h.MemorySwap)
	case h.MemorySwap > 0 && h.MemorySwap < h.Memory:
		return invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
	case h.MemorySwappiness != nil && (*h.MemorySwappiness < -1 || *h.MemorySwappiness > 100):
		return invalid("Invalid value: %d, valid memory swappiness range is 0-100", *h.MemorySwappiness)
	case h.MemoryReservation != 0 && h.MemoryReservation < minMemory:
		return invalid("Minimum memory reservation allowed is 6MB")
	case h.Memory > 0 && h.MemoryReservation > h.Memory:
		return invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
	}
	return nil
}

func validateCPU(h *container.HostConfig) error {
	cpus := runtime.NumCPU()
	switch {
	case h.NanoCPUs > 0 && h.CPUPeriod > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set.")
	case h.NanoCPUs > 0 && h.CPUQuota > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set.")
	case h.NanoCPUs < 0 || h.NanoCPUs > int64(cpus)*1e9:
		return invalid("range of CPUs is from 0.01 to %d.00, as there are only %d CPUs available", cpus, cpus)
	case h.CPUShares < 0:
		return invalid("invalid CPU shares (%d): value must be a positive integer", h.CPUShares)
	case h.CPUPeriod != 0 && (h.CPUPeriod < 1000 || h.CPUPeriod > 1_000_000):
		return invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
	case h.CPUQuota > 0 && h.CPUQuota < 1000:
		return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
	case h.CPURealtimePeriod < 0 || h.CPURealtimeRuntime > 0 && h.CPURealtimeRuntime > h.CPURealtimePeriod && h.CPURealtimePeriod != 0:
		return invalid("cpu real-time runtime cannot be higher than cpu real-time period")
	}
	if err := checkList(h.CpusetCpus); err != nil {
		return invalid("Invalid value %s for cpuset cpus", h.CpusetCpus)
	}
	if err := checkList(h.CpusetMems); err != nil {
		return invalid("Invalid value %s for cpuset mems", h.CpusetMems)
	}
	return nil
}

// checkList checks the form of a list such as 0-2,5.
func checkList(list string) error {
	if list == "" {
		return nil
	}
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			return err
		}
		if !isRange {
			continue
		}
		b, err := strconv.ParseUint(last, 10, 16)
		if err != nil {
			return err
		}
		if b < a {
			return fmt.Errorf("range %s runs backwards", part)
		}
	}
	return nil
}

// validateForeign refuses what only other systems can do.
func validateForeign(h *container.HostConfig) error {
	switch {
	case !h.Isolation.IsDefault():
		return invalid("invalid isolation (%s): linux only supports 'default'", h.Isolation)
	case h.IOMaximumBandwidth != 0:
		return invalid("invalid option: QoS maximum bandwidth configuration is not supported on linux")
	case h.IOMaximumIOps != 0:
		return invalid("invalid option: QoS maximum IOPs configuration is not supported on linux")
	case h.CPUCount != 0 || h.CPUPercent != 0:
		return invalid("invalid option: CPU count and percent are not supported on linux; use NanoCpus")
	}
	return nil
}

func validateOther(h *container.HostConfig) error {
	const least, most = 10, 1000
	weight := func(w uint16) bool { return w != 0 && (w < least || w > most) }
	if weight(h.BlkioWeight) {
		return invalid("Range of blkio weight is from 10 to 1000")
	}
	for _, d := range h.BlkioWeightDevice {
		if weight(d.Weight) {
			return invalid("Range of blkio weight is from 10 to 1000")
		}
	}
	switch {
	case h.OomScoreAdj < -1000 || h.OomScoreAdj > 1000:
		return invalid("Invalid value %d, range for oom score adj is [-1000, 1000]", h.OomScoreAdj)
	case h.ShmSize < 0:
		return invalid("SHM size can not be less than 0")
	case h.PidsLimit != nil && *h.PidsLimit < -1:
		return invalid("invalid PIDs limit %d: give a number, or -1 for unlimited", *h.PidsLimit)
	}
	return nil
}
