// Package about tells what docker info does of the engine and its host.
package about

import (
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/berth-containers/berth/internal/engine/host"
	"github.com/berth-containers/berth/internal/engine/show"
	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/volume"
)

// Engine is what is fixed of it.
type Engine struct {
	ID, Root, Version, InitBinary, LogDriver string
	CgroupV2                                 bool
	AppArmor, Userns                         bool // containers are confined by it; have user namespaces
	CDIDirs                                  []string
	Registries                               registries.Table
}

// Info describes the engine and its host, without what changes by its verbs.
func Info(e Engine) system.Info {
	i := system.Info{
		ID: e.ID, Driver: show.Driver,
		DriverStatus: [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}},
		Plugins: system.PluginsInfo{Volume: []string{volume.Driver}, Network: []string{"bridge", "host", "null"},
			Log: []string{logs.DriverJSONFile, logs.DriverLocal, logs.DriverNone, logs.DriverRing}},
		MemoryLimit: true, SwapLimit: true, CPUCfsPeriod: true, CPUCfsQuota: true, CPUShares: true, CPUSet: true, PidsLimit: true,
		OomKillDisable: !e.CgroupV2, IPv4Forwarding: host.FileIs("/proc/sys/net/ipv4/ip_forward", "1"),
		NFd: host.OpenFiles(), NGoroutines: runtime.NumGoroutine(),
		SystemTime: time.Now().Format(time.RFC3339Nano), LoggingDriver: e.LogDriver, CgroupDriver: "cgroupfs", CgroupVersion: "1",
		KernelVersion: host.FirstLine("/proc/sys/kernel/osrelease"), OSType: "linux", Architecture: host.Machine(),
		IndexServerAddress: "https://index.docker.io/v1/", RegistryConfig: registryConfig(e.Registries), NCPU: runtime.NumCPU(), MemTotal: host.Memory(),
		DockerRootDir: e.Root, Name: host.Name(), Labels: []string{}, ServerVersion: e.Version,
		Runtimes:       map[string]system.RuntimeWithStatus{"berth": {Runtime: system.Runtime{Path: "berth-runtime"}}},
		DefaultRuntime: "berth", Swarm: swarm.Info{LocalNodeState: swarm.LocalNodeStateInactive}, LiveRestoreEnabled: true,
		InitBinary: e.InitBinary, SecurityOptions: []string{"name=seccomp,profile=builtin", "name=cgroupns"},
		FirewallBackend: &system.FirewallInfo{Driver: "nftables"}, CDISpecDirs: []string{}, Warnings: []string{},
	}
	if e.CgroupV2 {
		i.CgroupVersion = "2"
	}
	if e.AppArmor {
		i.SecurityOptions = append([]string{"name=apparmor"}, i.SecurityOptions...)
	}
	if e.Userns {
		i.SecurityOptions = append(i.SecurityOptions, "name=userns")
	}
	i.CDISpecDirs = append(i.CDISpecDirs, e.CDIDirs...)
	i.OperatingSystem, i.OSVersion = host.Release()
	return i
}

// Count adds the containers by their states.
func Count(all []*container.Record, i *system.Info) {
	for _, r := range all {
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
