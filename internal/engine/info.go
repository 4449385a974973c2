package engine

import (
	"context"
	"net/netip"
	"runtime"
	"slices"
	"time"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/berth-containers/berth/internal/engine/host"
	"github.com/berth-containers/berth/internal/engine/ps"
	"github.com/berth-containers/berth/internal/engine/show"
	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/volume"
)

// Top lists the container's processes as ps with these arguments does.
func (q queries) Top(_ context.Context, ref string, psArgs string) (api.TopResponse, error) {
	r, err := q.records.Find(ref)
	if err != nil {
		return api.TopResponse{}, err
	}
	if !r.State.Status.Alive() {
		return api.TopResponse{}, notRunning(r)
	}
	t, err := ps.List(ps.Pids(r.State.CgroupPath, r.State.Pid), psArgs, time.Now())
	if err != nil {
		return api.TopResponse{}, err
	}
	q.tell(r, "top", nil)
	return api.TopResponse{Titles: t.Titles, Processes: t.Rows}, nil
}

// Info describes the engine and its host.
func (q queries) Info(ctx context.Context) (system.Info, error) {
	images, err := q.deps.Images.List(ctx)
	if err != nil {
		return system.Info{}, err
	}
	i := system.Info{
		ID: q.networkID("engine"), Images: len(images), Driver: show.Driver,
		DriverStatus: [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}},
		Plugins: system.PluginsInfo{Volume: []string{volume.Driver}, Network: []string{"bridge", "host", "null"},
			Log: []string{logs.DriverJSONFile, logs.DriverNone, logs.DriverRing}},
		MemoryLimit: true, SwapLimit: true, CPUCfsPeriod: true, CPUCfsQuota: true, CPUShares: true, CPUSet: true, PidsLimit: true,
		OomKillDisable: !q.cfg.CgroupV2, IPv4Forwarding: host.FileIs("/proc/sys/net/ipv4/ip_forward", "1"),
		NFd: host.OpenFiles(), NGoroutines: runtime.NumGoroutine(), NEventsListener: q.events.Listeners(),
		SystemTime: time.Now().Format(time.RFC3339Nano), LoggingDriver: logs.DriverRing, CgroupDriver: "cgroupfs", CgroupVersion: "1",
		KernelVersion: host.FirstLine("/proc/sys/kernel/osrelease"), OSType: "linux", Architecture: host.Machine(),
		IndexServerAddress: "https://index.docker.io/v1/", RegistryConfig: registryConfig(q.cfg.Registries), NCPU: runtime.NumCPU(), MemTotal: host.Memory(),
		DockerRootDir: q.cfg.DataRoot, Name: host.Name(), Labels: []string{}, ServerVersion: q.cfg.Version,
		Runtimes:       map[string]system.RuntimeWithStatus{"berth": {Runtime: system.Runtime{Path: "berth-runtime"}}},
		DefaultRuntime: "berth", Swarm: swarm.Info{LocalNodeState: swarm.LocalNodeStateInactive}, LiveRestoreEnabled: true,
		InitBinary: q.cfg.InitBinary, SecurityOptions: []string{"name=seccomp,profile=builtin", "name=cgroupns"},
		FirewallBackend: &system.FirewallInfo{Driver: "nftables"}, CDISpecDirs: []string{}, Warnings: []string{},
	}
	if q.cfg.CgroupV2 {
		i.CgroupVersion = "2"
	}
	i.OperatingSystem, i.OSVersion = host.Release()
	q.count(&i)
	return i, nil
}

func (q queries) count(i *system.Info) {
	for _, r := range q.records.All() {
		i.Containers++
		switch r.State.Status {
		case container.Running, container.Restarting:
			i.ContainersRunning++
		case container.Paused:
			i.ContainersPaused++
		default:
			i.ContainersStopped++
		}
	}
}

// registryConfig is the table of registries as Docker shows it.
func registryConfig(t registries.Table) *registry.ServiceConfig {
	c := &registry.ServiceConfig{
		InsecureRegistryCIDRs: []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("127.0.0.0/8")},
		IndexConfigs:          map[string]*registry.IndexInfo{"docker.io": {Name: "docker.io", Mirrors: []string{}, Secure: true, Official: true}},
		Mirrors:               []string{},
	}
	for name, e := range t.Hosts {
		mirrors := slices.Concat([]string{}, e.Mirrors)
		c.IndexConfigs[name] = &registry.IndexInfo{Name: name, Mirrors: mirrors, Secure: !e.Insecure, Official: name == registries.Hub}
		if name == registries.Hub {
			c.Mirrors = mirrors
		}
	}
	return c
}
