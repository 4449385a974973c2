package merge

import (
	"github.com/moby/moby/api/types/container"
)

// Update returns the host configuration with what u gives; the rest stays.
// InvalidArgument for what contradicts the rest.
func Update(h *container.HostConfig, u container.UpdateConfig) (*container.HostConfig, error) {
	n := *h
	if u.RestartPolicy.Name != "" {
		if err := container.ValidateRestartPolicy(u.RestartPolicy); err != nil {
			return nil, invalid("%s", err)
		}
		if h.AutoRemove && !u.RestartPolicy.IsNone() {
			return nil, invalid("Restart policy cannot be updated because AutoRemove is enabled for the container")
		}
		n.RestartPolicy = u.RestartPolicy
	}
	if err := updateCPU(&n, u.Resources); err != nil {
		return nil, err
	}
	if err := updateMemory(&n, h, u.Resources); err != nil {
		return nil, err
	}
	if u.BlkioWeight != 0 {
		n.BlkioWeight = u.BlkioWeight
	}
	if u.PidsLimit != nil {
		n.PidsLimit = u.PidsLimit
	}
	return &n, nil
}

func updateCPU(n *container.HostConfig, u container.Resources) error {
	switch {
	case u.NanoCPUs > 0 && (u.CPUPeriod > 0 || u.CPUQuota != 0):
		return invalid("Conflicting options: Nano CPUs and CPU Period or Quota cannot both be set")
	case u.NanoCPUs > 0 && (n.CPUPeriod > 0 || n.CPUQuota != 0):
		return invalid("Conflicting options: Nano CPUs cannot be updated as CPU Period or Quota has already been set")
	case (u.CPUPeriod > 0 || u.CPUQuota != 0) && n.NanoCPUs > 0:
		return invalid("Conflicting options: CPU Period or Quota cannot be updated as NanoCPUs has already been set")
	}
	set(&n.NanoCPUs, u.NanoCPUs)
	set(&n.CPUShares, u.CPUShares)
	set(&n.CPUPeriod, u.CPUPeriod)
	set(&n.CPUQuota, u.CPUQuota)
	set(&n.CPURealtimePeriod, u.CPURealtimePeriod)
	set(&n.CPURealtimeRuntime, u.CPURealtimeRuntime)
	set(&n.CpusetCpus, u.CpusetCpus)
	set(&n.CpusetMems, u.CpusetMems)
	return nil
}

func updateMemory(n, before *container.HostConfig, u container.Resources) error {
	if u.Memory > 0 && u.MemorySwap == 0 && before.MemorySwap > 0 && u.Memory > before.MemorySwap {
		return invalid("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time")
	}
	set(&n.Memory, u.Memory)
	set(&n.MemorySwap, u.MemorySwap)
	set(&n.MemoryReservation, u.MemoryReservation)
	switch {
	case n.MemorySwap > 0 && n.Memory == 0:
		return invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
	case n.MemorySwap > 0 && n.MemorySwap < n.Memory:
		return invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
	case n.MemoryReservation > 0 && n.Memory > 0 && n.MemoryReservation > n.Memory:
		return invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
	}
	return nil
}

func set[T comparable](to *T, value T) {
	var zero T
	if value != zero {
		*to = value
	}
}
