package engine

import (
	"bufio"
	"context"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/distribution/registries"
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
		OomKillDisable: !q.cfg.CgroupV2, IPv4Forwarding: fileIs("/proc/sys/net/ipv4/ip_forward", "1"),
		NFd: openFiles(), NGoroutines: runtime.NumGoroutine(), NEventsListener: q.events.Listeners(),
		SystemTime: time.Now().Format(time.RFC3339Nano), LoggingDriver: logs.DriverRing, CgroupDriver: "cgroupfs", CgroupVersion: "1",
		KernelVersion: firstLine("/proc/sys/kernel/osrelease"), OSType: "linux", Architecture: machineName(),
		IndexServerAddress: "https://index.docker.io/v1/", RegistryConfig: registryConfig(q.cfg.Registries), NCPU: runtime.NumCPU(), MemTotal: memTotal(),
		DockerRootDir: q.cfg.DataRoot, Name: hostName(), Labels: []string{}, ServerVersion: q.cfg.Version,
		Runtimes:       map[string]system.RuntimeWithStatus{"berth": {Runtime: system.Runtime{Path: "berth-runtime"}}},
		DefaultRuntime: "berth", Swarm: swarm.Info{LocalNodeState: swarm.LocalNodeStateInactive}, LiveRestoreEnabled: true,
		InitBinary: q.cfg.InitBinary, SecurityOptions: []string{"name=seccomp,profile=builtin", "name=cgroupns"},
		FirewallBackend: &system.FirewallInfo{Driver: "nftables"}, CDISpecDirs: []string{}, Warnings: []string{},
	}
	if q.cfg.CgroupV2 {
		i.CgroupVersion = "2"
	}
	i.OperatingSystem, i.OSVersion = osRelease()
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

func fileIs(path, text string) bool { return firstLine(path) == text }

// firstLine is "" for a file that cannot be read.
func firstLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

func openFiles() int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(d)
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// machineName is what uname -m says.
func machineName() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return runtime.GOARCH
}

func memTotal() int64 {
	f := strings.Fields(firstLine("/proc/meminfo"))
	if len(f) < 2 {
		return 0
	}
	kib, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

func osRelease() (name, version string) {
	name = "Linux"
	f, err := os.Open("/etc/os-release")
	if err != nil {
		return name, ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		k, v, _ := strings.Cut(s.Text(), "=")
		v = strings.Trim(v, `"'`)
		switch k {
		case "PRETTY_NAME":
			name = v
		case "VERSION_ID":
			version = v
		}
	}
	return name, version
}
