package runopts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
	"github.com/spf13/pflag"
)

func (f *Flags) buildIsolation(_ *container.Config, h *container.HostConfig) error {
	i := &f.isolation
	h.CapAdd, h.CapDrop, h.Privileged, h.GroupAdd = i.capAdd.values, i.capDrop.values, i.privileged, i.groupAdd.values
	h.PidMode, h.IpcMode, h.UTSMode = container.PidMode(i.pid), container.IpcMode(i.ipc), container.UTSMode(i.uts)
	h.CgroupnsMode, h.UsernsMode = container.CgroupnsMode(i.cgroupns), container.UsernsMode(i.userns)
	h.CgroupParent, h.Isolation = i.cgroupParent, container.Isolation(i.isolation)
	for _, mode := range []struct {
		flag, value string
		valid       bool
	}{
		{"pid", i.pid, h.PidMode.Valid()}, {"ipc", i.ipc, h.IpcMode.Valid()}, {"uts", i.uts, h.UTSMode.Valid()},
		{"cgroupns", i.cgroupns, h.CgroupnsMode.Valid()}, {"userns", i.userns, h.UsernsMode.Valid()},
	} {
		if !mode.valid {
			return f.invalid(mode.flag, mode.value, errors.New("invalid mode"))
		}
	}
	if len(i.sysctl.values) > 0 {
		h.Sysctls = Pairs(i.sysctl.values)
	}
	h.DeviceCgroupRules = i.deviceRule.values
	var described []string
	for _, v := range i.device.values {
		if isCDI(v) {
			described = append(described, v)
			continue
		}
		d, err := parseDevice(v)
		if err != nil {
			return f.invalid("device", v, err)
		}
		h.Devices = append(h.Devices, d)
	}
	if described != nil {
		h.DeviceRequests = append(h.DeviceRequests, container.DeviceRequest{Driver: "cdi", DeviceIDs: described})
	}
	for _, v := range i.gpus.values {
		r, err := parseGPUs(v)
		if err != nil {
			return f.invalid("gpus", v, err)
		}
		h.DeviceRequests = append(h.DeviceRequests, r)
	}
	return f.buildSecurity(h)
}

func parseDevice(s string) (container.DeviceMapping, error) {
	d := container.DeviceMapping{CgroupPermissions: "rwm"}
	parts := strings.Split(s, ":")
	d.PathOnHost, d.PathInContainer = parts[0], parts[0]
	switch {
	case len(parts) > 3 || parts[0] == "":
		return d, errors.New("write DEVICE[:PATH][:rwm]")
	case len(parts) == 3:
		d.PathInContainer, d.CgroupPermissions = parts[1], parts[2]
	case len(parts) == 2 && isDeviceMode(parts[1]):
		d.CgroupPermissions = parts[1]
	case len(parts) == 2:
		d.PathInContainer = parts[1]
	}
	if !isDeviceMode(d.CgroupPermissions) {
		return d, fmt.Errorf("invalid device mode %q: write r, w and m", d.CgroupPermissions)
	}
	if !path.IsAbs(d.PathInContainer) {
		return d, fmt.Errorf("%q is not an absolute path", d.PathInContainer)
	}
	return d, nil
}

func isDeviceMode(s string) bool {
	for _, c := range s {
		if !strings.ContainsRune("rwm", c) || strings.Count(s, string(c)) > 1 {
			return false
		}
	}
	return s != ""
}

// buildSecurity sends the content of a seccomp profile, which is a file of
// this machine.
func (f *Flags) buildSecurity(h *container.HostConfig) error {
	for _, v := range f.securityOpt.values {
		key, value, ok := strings.Cut(v, "=")
		if !ok {
			key, value, ok = strings.Cut(v, ":")
		}
		switch {
		case !ok && key != "no-new-privileges":
			return f.invalid("security-opt", v, errors.New("write KEY=VALUE"))
		case key == "systempaths" && value == "unconfined":
			h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{}
			continue
		case key == "seccomp" && value != "unconfined" && value != "builtin":
			profile, err := readProfile(value)
			if err != nil {
				return fmt.Errorf("opening seccomp profile (%s) failed: %w", value, err)
			}
			v = "seccomp=" + profile
		}
		h.SecurityOpt = append(h.SecurityOpt, v)
	}
	return nil
}

func readProfile(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", errors.Unwrap(err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, content); err != nil {
		return "", fmt.Errorf("not a JSON file: %w", err)
	}
	return b.String(), nil
}

func (l *limits) build(set *pflag.FlagSet, r *container.Resources) {
	r.Memory, r.MemoryReservation, r.MemorySwap, r.NanoCPUs = int64(l.memory), int64(l.reservation), int64(l.memorySwap.size), int64(l.cpus)
	r.CPUShares, r.CPUPeriod, r.CPUQuota = l.cpuShares, l.cpuPeriod, l.cpuQuota
	r.CPURealtimePeriod, r.CPURealtimeRuntime = l.rtPeriod, l.rtUs
	r.CpusetCpus, r.CpusetMems, r.BlkioWeight = l.cpusetCpus, l.cpusetMems, l.blkioWeight
	if set.Changed("pids-limit") {
		r.PidsLimit = &l.pidsLimit
	}
}

func (f *Flags) buildResources(_ *container.Config, h *container.HostConfig) error {
	r := &f.resources
	r.limits.build(f.set, &h.Resources)
	h.ShmSize, h.OomScoreAdj = int64(r.shmSize), r.oomScoreAdj
	if r.swappiness < -1 || r.swappiness > 100 {
		return f.invalid("memory-swappiness", strconv.FormatInt(r.swappiness, 10), errors.New("must be between 0 and 100"))
	}
	if r.swappiness >= 0 {
		h.MemorySwappiness = &r.swappiness
	}
	if f.set.Changed("oom-kill-disable") {
		h.OomKillDisable = &r.oomKillDisable
	}
	for _, v := range r.ulimit.values {
		u, err := units.ParseUlimit(v)
		if err != nil {
			return f.invalid("ulimit", v, err)
		}
		h.Ulimits = append(h.Ulimits, u)
	}
	return nil
}

func (f *Flags) buildIO(_ *container.Config, h *container.HostConfig) error {
	for _, v := range f.blkioWeightDevice.values {
		device, value, err := deviceValue(v)
		if err != nil {
			return f.invalid("blkio-weight-device", v, err)
		}
		weight, err := strconv.ParseUint(value, 10, 16)
		if err != nil || weight > 0 && (weight < 10 || weight > 1000) {
			return f.invalid("blkio-weight-device", v, errors.New("the weight must be between 10 and 1000, or 0"))
		}
		h.BlkioWeightDevice = append(h.BlkioWeightDevice, &blkiodev.WeightDevice{Path: device, Weight: uint16(weight)})
	}
	for _, t := range []struct {
		flag   string
		values []string
		bytes  bool
		to     *[]*blkiodev.ThrottleDevice
	}{
		{"device-read-bps", f.readBps.values, true, &h.BlkioDeviceReadBps},
		{"device-write-bps", f.writeBps.values, true, &h.BlkioDeviceWriteBps},
		{"device-read-iops", f.readIOps.values, false, &h.BlkioDeviceReadIOps},
		{"device-write-iops", f.writeIOps.values, false, &h.BlkioDeviceWriteIOps},
	} {
		for _, v := range t.values {
			d, err := parseThrottle(v, t.bytes)
			if err != nil {
				return f.invalid(t.flag, v, err)
			}
			*t.to = append(*t.to, d)
		}
	}
	return nil
}

func parseThrottle(s string, inBytes bool) (*blkiodev.ThrottleDevice, error) {
	device, value, err := deviceValue(s)
	if err != nil {
		return nil, err
	}
	if !inBytes {
		rate, err := strconv.ParseUint(value, 10, 64)
		return &blkiodev.ThrottleDevice{Path: device, Rate: rate}, err
	}
	rate, err := units.RAMInBytes(value)
	if err == nil && rate < 0 {
		err = errors.New("the rate is negative")
	}
	return &blkiodev.ThrottleDevice{Path: device, Rate: uint64(rate)}, err
}

func deviceValue(s string) (device, value string, err error) {
	device, value, ok := strings.Cut(s, ":")
	if !ok || !strings.HasPrefix(device, "/dev/") {
		return "", "", errors.New("write /dev/NAME:VALUE")
	}
	return device, value, nil
}
