package spec

import (
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/blkiodev"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/sys/userns"
)

func ptr[T any](v T) *T { return &v }

func nonzero[T int64 | uint64 | uint16](v T) *T {
	if v == 0 {
		return nil
	}
	return &v
}

// resources are the limits of the cgroup; the device rules are there already.
func (b *builder) resources() error {
	r := b.host.Resources
	to := b.spec.Linux.Resources
	to.Memory = &specs.LinuxMemory{
		Limit: nonzero(r.Memory), Reservation: nonzero(r.MemoryReservation), Swap: nonzero(r.MemorySwap), DisableOOMKiller: r.OomKillDisable,
	}
	if s := r.MemorySwappiness; s != nil && *s >= 0 {
		to.Memory.Swappiness = ptr(uint64(*s))
	}
	if d := r.OomKillDisable; d != nil && *d && r.Memory == 0 {
		b.warnings = append(b.warnings, "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.")
	}
	to.CPU = b.cpu()
	if p := r.PidsLimit; p != nil && *p != 0 {
		to.Pids = &specs.LinuxPids{Limit: p}
	}
	return b.blockIO()
}

func (b *builder) cpu() *specs.LinuxCPU {
	r := b.host.Resources
	c := &specs.LinuxCPU{
		Shares: nonzero(uint64(max(r.CPUShares, 0))), Quota: nonzero(r.CPUQuota), Period: nonzero(uint64(r.CPUPeriod)),
		RealtimePeriod: nonzero(uint64(r.CPURealtimePeriod)), RealtimeRuntime: nonzero(r.CPURealtimeRuntime),
		Cpus: r.CpusetCpus, Mems: r.CpusetMems,
	}
	if r.NanoCPUs > 0 {
		const period = 100 * time.Millisecond
		c.Period = ptr(uint64(period.Microseconds()))
		c.Quota = ptr(r.NanoCPUs * period.Microseconds() / int64(time.Second))
	}
	return c
}

func (b *builder) blockIO() error {
	r := b.host.Resources
	io := &specs.LinuxBlockIO{Weight: nonzero(r.BlkioWeight)}
	for _, d := range r.BlkioWeightDevice {
		at, err := b.block(d.Path)
		if err != nil {
			return err
		}
		io.WeightDevice = append(io.WeightDevice, specs.LinuxWeightDevice{LinuxBlockIODevice: at, Weight: ptr(d.Weight)})
	}
	for _, t := range []struct {
		from []*blkiodev.ThrottleDevice
		to   *[]specs.LinuxThrottleDevice
	}{
		{r.BlkioDeviceReadBps, &io.ThrottleReadBpsDevice}, {r.BlkioDeviceWriteBps, &io.ThrottleWriteBpsDevice},
		{r.BlkioDeviceReadIOps, &io.ThrottleReadIOPSDevice}, {r.BlkioDeviceWriteIOps, &io.ThrottleWriteIOPSDevice},
	} {
		for _, d := range t.from {
			at, err := b.block(d.Path)
			if err != nil {
				return err
			}
			*t.to = append(*t.to, specs.LinuxThrottleDevice{LinuxBlockIODevice: at, Rate: d.Rate})
		}
	}
	b.spec.Linux.Resources.BlockIO = io
	return nil
}

// block is a block device by its path.
func (b *builder) block(path string) (specs.LinuxBlockIODevice, error) {
	list, err := b.Devices(path)
	if err != nil {
		return specs.LinuxBlockIODevice{}, invalid("block I/O limit of %q: %v", path, cause(err))
	}
	if len(list) != 1 || list[0].Type != "b" {
		return specs.LinuxBlockIODevice{}, invalid("block I/O limit of %q: it is not a block device", path)
	}
	return specs.LinuxBlockIODevice{Major: list[0].Major, Minor: list[0].Minor}, nil
}

// Docker's defaults for a network namespace of the container's own: pings and
// low ports need no capability there.
const (
	portStart = "net.ipv4.ip_unprivileged_port_start"
	pingRange = "net.ipv4.ping_group_range"
)

func (b *builder) sysctls() error {
	set := map[string]string{}
	if b.netNS() != hostNS && b.host.NetworkMode.IsPrivate() {
		set[portStart] = "0"
		set[pingRange] = "0 2147483647"
		if b.remapped() && b.netNS() == "" { // it belongs to the user namespace, whose IDs count
			set[pingRange] = fmt.Sprintf("0 %d", lastID(b.Users.GIDs))
		}
	}
	for key, value := range b.host.Sysctls {
		name := dotted(key)
		if err := checkSysctl(name, b.netNS() == hostNS, b.ipcNS() == hostNS, b.utsNS() == hostNS); err != nil {
			return err
		}
		set[name] = value
	}
	b.spec.Linux.Sysctl = set
	return nil
}

// lastID is the greatest that there is inside.
func lastID(ranges []userns.Range) (last uint32) {
	for _, r := range ranges {
		last = max(last, r.Inside+r.Count-1)
	}
	return last
}

// dotted is a sysctl's name with dots, which it may also have with slashes.
func dotted(key string) string {
	slash, dot := strings.Index(key, "/"), strings.Index(key, ".")
	if slash < 0 || dot >= 0 && dot < slash {
		return key
	}
	return strings.NewReplacer("/", ".", ".", "/").Replace(key)
}

// checkSysctl lets only those pass that belong to a namespace of the container.
func checkSysctl(name string, hostNet, hostIPC, hostUTS bool) error {
	for part := range strings.SplitSeq(strings.ReplaceAll(name, "/", "."), ".") {
		if part == "" {
			return invalid("invalid sysctl name: %q", name)
		}
	}
	switch {
	case strings.HasPrefix(name, "net."):
		if hostNet {
			return invalid("sysctl %q is not allowed in the host's network namespace", name)
		}
		return nil
	case strings.HasPrefix(name, "fs.mqueue."), strings.Contains(ipcSysctls, " "+name+" "):
		if hostIPC {
			return invalid("sysctl %q is not allowed in the host's IPC namespace", name)
		}
		return nil
	case name == "kernel.domainname":
		if hostUTS {
			return invalid("sysctl %q is not allowed in the host's UTS namespace", name)
		}
		return nil
	case name == "kernel.hostname":
		return invalid("sysctl %q: give the name with --hostname", name)
	}
	return invalid("sysctl %q is not in a separate kernel namespace", name)
}

const ipcSysctls = " kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni kernel.shm_rmid_forced "
