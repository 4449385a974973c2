package limit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func ptr[T any](v T) *T { return &v }

// everything sets each limit once.
func everything() *specs.LinuxResources {
	disk := specs.LinuxBlockIODevice{Major: 8, Minor: 16}
	return &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr[int64](100), Swap: ptr[int64](150), Reservation: ptr[int64](50),
			Swappiness: ptr[uint64](9), DisableOOMKiller: ptr(true)},
		CPU:  &specs.LinuxCPU{Shares: ptr[uint64](1024), Quota: ptr[int64](5000), Period: ptr[uint64](10000), Cpus: "0-1", Mems: "0"},
		Pids: &specs.LinuxPids{Limit: ptr[int64](-1)},
		BlockIO: &specs.LinuxBlockIO{Weight: ptr[uint16](1000), LeafWeight: ptr[uint16](20),
			WeightDevice:            []specs.LinuxWeightDevice{{LinuxBlockIODevice: disk, Weight: ptr[uint16](30), LeafWeight: ptr[uint16](40)}},
			ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 4}},
			ThrottleReadBpsDevice:   []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 1}},
			ThrottleWriteBpsDevice:  []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 2}},
			ThrottleReadIOPSDevice:  []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 3}}},
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 7}},
		Rdma:           map[string]specs.LinuxRdma{"mlx4_1": {HcaObjects: ptr[uint32](3)}, "mlx4_0": {HcaHandles: ptr[uint32](2), HcaObjects: ptr[uint32](2000)}},
	}
}

func withNetwork(res *specs.LinuxResources) *specs.LinuxResources {
	res.Network = &specs.LinuxNetwork{ClassID: ptr[uint32](65537), Priorities: []specs.LinuxInterfacePriority{{Name: "eth0", Priority: 5}}}
	return res
}

func lines(list []Setting) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

func TestSettingsV1(t *testing.T) {
	list, _, err := V1(withNetwork(everything()))
	if err != nil {
		t.Fatal(err)
	}
	want := `memory memory.limit_in_bytes = 100
memory memory.memsw.limit_in_bytes = 150
memory memory.soft_limit_in_bytes = 50
memory memory.swappiness = 9
memory memory.oom_control = 1
cpu cpu.shares = 1024
cpu cpu.cfs_period_us = 10000
cpu cpu.cfs_quota_us = 5000
cpuset cpuset.cpus = 0-1
cpuset cpuset.mems = 0
pids pids.max = max
blkio blkio.weight = 1000
blkio blkio.leaf_weight = 20
blkio blkio.weight_device = 8:16 30
blkio blkio.leaf_weight_device = 8:16 40
blkio blkio.throttle.read_bps_device = 8:16 1
blkio blkio.throttle.write_bps_device = 8:16 2
blkio blkio.throttle.read_iops_device = 8:16 3
blkio blkio.throttle.write_iops_device = 8:16 4
hugetlb hugetlb.2MB.limit_in_bytes = 7
hugetlb hugetlb.2MB.rsvd.limit_in_bytes = 7
rdma rdma.max = mlx4_0 hca_handle=2 hca_object=2000
rdma rdma.max = mlx4_1 hca_object=3
net_cls net_cls.classid = 65537
net_prio net_prio.ifpriomap = eth0 5
`
	if got := lines(list); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestSettingsV2(t *testing.T) {
	res := everything()
	res.Unified = map[string]string{"memory.high": "90"}
	list, _, err := V2(res, Current{})
	if err != nil {
		t.Fatal(err)
	}
	want := `memory memory.max = 100
memory memory.swap.max = 50
memory memory.low = 50
cpu cpu.weight = 100
cpu cpu.max = 5000 10000
cpuset cpuset.cpus = 0-1
cpuset cpuset.mems = 0
pids pids.max = max
io io.bfq.weight = 1000
io io.bfq.weight = 8:16 30
io io.max = 8:16 rbps=1
io io.max = 8:16 wbps=2
io io.max = 8:16 riops=3
io io.max = 8:16 wiops=4
hugetlb hugetlb.2MB.max = 7
hugetlb hugetlb.2MB.rsvd.max = 7
rdma rdma.max = mlx4_0 hca_handle=2 hca_object=2000
rdma rdma.max = mlx4_1 hca_object=3
memory memory.high = 90
`
	if got := lines(list); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestRefusedResources(t *testing.T) {
	for _, tt := range []struct {
		res  specs.LinuxResources
		want string
	}{
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: ptr[int64](5)}}, "needs a memory limit"},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr[int64](9), Swap: ptr[int64](5)}}, "is below the memory limit"},
		{specs.LinuxResources{Unified: map[string]string{"../x": "1"}}, "is not a controller's file"},
		{specs.LinuxResources{Unified: map[string]string{"cgroup.procs": "1"}}, "is not a controller's file"},
	} {
		if _, _, err := V2(&tt.res, Current{}); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
	if _, _, err := V1(&specs.LinuxResources{Unified: map[string]string{"memory.high": "1"}}); err == nil {
		t.Error("v1 takes unified resources")
	}
}

func TestWeightOfShares(t *testing.T) {
	for shares, want := range map[uint64]uint64{0: 1, 2: 1, 1024: 100, 262144: 10000, 1 << 40: 10000} {
		if got := WeightOfShares(shares); got != want {
			t.Errorf("%d: %d, want %d", shares, got, want)
		}
	}
}

// Of a live group only what is given changes, and what means something only
// together is completed by what it has.
func TestUpdateOfV2(t *testing.T) {
	text := func(s string) func() (string, error) { return func() (string, error) { return s, nil } }
	now := Current{Memory: text("100"), CPU: text("2000 50000")}
	for _, tt := range []struct {
		res  specs.LinuxResources
		want string
	}{
		{specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr[int64](7000)}}, "cpu cpu.max = 7000 50000\n"},
		{specs.LinuxResources{CPU: &specs.LinuxCPU{Period: ptr[uint64](7000)}}, "cpu cpu.max = 2000 7000\n"},
		{specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr[int64](-1)}}, "cpu cpu.max = max 50000\n"},
		{specs.LinuxResources{CPU: &specs.LinuxCPU{Burst: ptr[uint64](9)}}, "cpu cpu.max.burst = 9\n"},
		{specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr[int64](1), Shares: ptr[uint64](9)}}, "cpu cpu.idle = 1\n"},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: ptr[int64](150)}}, "memory memory.swap.max = 50\n"},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: ptr[int64](-1)}}, "memory memory.swap.max = max\n"},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr[int64](-1)}}, "memory memory.max = max\nmemory memory.swap.max = max\n"},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr[int64](0), Swap: ptr[int64](0)}}, ""},
		{specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr[int64](0)}}, "pids pids.max = 1\n"},
		{specs.LinuxResources{Pids: &specs.LinuxPids{}}, ""},
	} {
		list, _, err := V2(&tt.res, now)
		if got := lines(list); err != nil || got != tt.want {
			t.Errorf("%s %v, want %s", got, err, tt.want)
		}
	}
}

// What nothing corresponds to is said, not dropped in silence.
func TestWarnings(t *testing.T) {
	res := everything()
	//lint:ignore SA1019 configurations still have it
	res.Memory.Kernel, res.Memory.KernelTCP = ptr[int64](5), ptr[int64](6)
	_, v1, err := V1(res)
	if err != nil || len(v1) != 1 || !strings.HasPrefix(v1[0], "Kernel memory limit discarded") {
		t.Error(v1, err)
	}
	_, v2, err := V2(res, Current{})
	if err != nil || len(v2) != 5 {
		t.Errorf("%q %v", v2, err)
	}
}

func TestInconvertible(t *testing.T) {
	memory := func(m specs.LinuxMemory) specs.LinuxResources { return specs.LinuxResources{Memory: &m} }
	for _, tt := range []struct {
		res   specs.LinuxResources
		field string
	}{
		{memory(specs.LinuxMemory{Swappiness: ptr[uint64](0)}), "memory.swappiness"},
		{memory(specs.LinuxMemory{DisableOOMKiller: ptr(true)}), "memory.disableOOMKiller"},
		//lint:ignore SA1019 configurations still have it
		{memory(specs.LinuxMemory{Kernel: ptr[int64](5)}), "memory.kernel"},
		{memory(specs.LinuxMemory{KernelTCP: ptr[int64](5)}), "memory.kernelTCP"},
		{specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{LeafWeight: ptr[uint16](10)}}, "blockIO.leafWeight"},
		//lint:ignore SA1019 configurations still have it
		{memory(specs.LinuxMemory{DisableOOMKiller: ptr(false), Kernel: ptr[int64](-1), KernelTCP: ptr[int64](0)}), ""},
		{specs.LinuxResources{}, ""},
	} {
		err := Inconvertible(&tt.res)
		if (err == nil) != (tt.field == "") || err != nil && !strings.Contains(err.Error(), "linux.resources."+tt.field+" ") {
			t.Errorf("%v, want one about %q", err, tt.field)
		}
	}
}

func TestOld(t *testing.T) {
	const content = "8:0 rbps=1 wbps=max riops=max wiops=max\n8:16 rbps=max wbps=5 riops=max wiops=max\n"
	list := ioV2(everything().BlockIO)
	i := slices.IndexFunc(list, func(s Setting) bool { return s.File == "io.max" })
	if got := list[i].Old(content); got != "8:16 rbps=max wbps=5 riops=max wiops=max" {
		t.Error(got)
	}
	if got := list[i].Old(""); got != "8:16 rbps=max wbps=max riops=max wiops=max" {
		t.Error(got)
	}
	oom := memoryV1(&specs.LinuxMemory{DisableOOMKiller: ptr(true)})[0]
	if got := oom.Old("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"); got != "0" {
		t.Error(got)
	}
}
