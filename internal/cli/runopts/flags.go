package runopts

import (
	"time"

	"github.com/spf13/pflag"
)

// Flags are the flags that run and create share.
type Flags struct {
	Name     string
	CIDFile  string
	Pull     string
	Platform string
	Quiet    bool

	set *pflag.FlagSet
	process
	storage
	networking
	isolation
	resources
	health
}

// process: what runs and how it is attached.
type process struct {
	interactive, tty, remove, init bool
	attach, env, envFile           list
	workdir, user, entrypoint      string
	stopSignal                     string
	stopTimeout                    int
	restart                        string
	label, labelFile, annotation   list
	logDriver                      string
	logOpt                         list
	runtime                        string
}

type storage struct {
	volume, mount, tmpfs, volumesFrom, storageOpt list
	volumeDriver                                  string
	readOnly                                      bool
}

type networking struct {
	network, alias, publish, expose, link, linkLocal list
	publishAll                                       bool
	hostname, domainname, ip, ip6, mac               string
	addHost, dns, dnsSearch, dnsOption               list
}

type isolation struct {
	capAdd, capDrop, securityOpt, groupAdd, sysctl, device, deviceRule, gpus list
	privileged                                                               bool
	pid, ipc, uts, cgroupns, userns, cgroupParent, isolation                 string
}

// limits are those that can be changed while a container runs.
type limits struct {
	memory, reservation, kernel                    size
	memorySwap                                     swap
	cpus                                           cpus
	cpuShares, cpuPeriod, cpuQuota, rtPeriod, rtUs int64
	cpusetCpus, cpusetMems                         string
	pidsLimit                                      int64
	blkioWeight                                    uint16
}

type resources struct {
	limits
	shmSize                                size
	swappiness                             int64
	ulimit                                 list
	oomKillDisable                         bool
	oomScoreAdj                            int
	blkioWeightDevice                      list
	readBps, writeBps, readIOps, writeIOps list
}

type health struct {
	none                                          bool
	cmd, http, tcp                                string
	heal                                          bool
	interval, timeout, startPeriod, startInterval time.Duration
	retries                                       int
}

// Register declares the flags.
func Register(set *pflag.FlagSet) *Flags {
	f := &Flags{set: set}
	set.SetInterspersed(false) // what follows the image is the command's
	set.StringVar(&f.Name, "name", "", "Assign a name to the container")
	set.StringVar(&f.CIDFile, "cidfile", "", "Write the container ID to the `file`")
	set.StringVar(&f.Pull, "pull", "missing", "Pull image before creating (\"always\", \"missing\", \"never\")")
	set.StringVar(&f.Platform, "platform", "", "Set platform if the image is for more than one")
	set.BoolVarP(&f.Quiet, "quiet", "q", false, "Suppress the pull output")
	set.Bool("disable-content-trust", true, "")
	_ = set.MarkHidden("disable-content-trust")
	f.process.register(set)
	f.storage.register(set)
	f.networking.register(set)
	f.isolation.register(set)
	f.resources.register(set)
	f.health.register(set)
	return f
}

func (f *process) register(set *pflag.FlagSet) {
	f.env.check, f.label.check = checkKey, checkKey
	f.annotation.check, f.logOpt.check = checkPair, checkPair
	set.BoolVarP(&f.interactive, "interactive", "i", false, "Keep STDIN open even if not attached")
	set.BoolVarP(&f.tty, "tty", "t", false, "Allocate a pseudo-TTY")
	set.BoolVar(&f.remove, "rm", false, "Remove the container and its anonymous volumes when it exits")
	set.BoolVar(&f.init, "init", false, "Run an init inside the container that forwards signals and reaps processes")
	set.VarP(&f.attach, "attach", "a", "Attach to STDIN, STDOUT or STDERR")
	set.VarP(&f.env, "env", "e", "Set environment variables")
	set.Var(&f.envFile, "env-file", "Read in a file of environment variables")
	set.StringVarP(&f.workdir, "workdir", "w", "", "Working directory inside the container")
	set.StringVarP(&f.user, "user", "u", "", "Username or UID (format: <name|uid>[:<group|gid>])")
	set.StringVar(&f.entrypoint, "entrypoint", "", "Overwrite the default ENTRYPOINT of the image")
	set.StringVar(&f.stopSignal, "stop-signal", "", "Signal to stop the container")
	set.IntVar(&f.stopTimeout, "stop-timeout", 0, "Timeout (in seconds) to stop a container")
	set.StringVar(&f.restart, "restart", "no", "Restart policy (no, always, unless-stopped, on-failure[:max])")
	set.VarP(&f.label, "label", "l", "Set meta data on a container")
	set.Var(&f.labelFile, "label-file", "Read in a line delimited file of labels")
	set.Var(&f.annotation, "annotation", "Add an annotation to the container (passed through to the OCI runtime)")
	set.StringVar(&f.logDriver, "log-driver", "", "Logging driver for the container")
	set.Var(&f.logOpt, "log-opt", "Log driver options")
	set.StringVar(&f.runtime, "runtime", "", "Runtime to use for this container")
}

func (f *storage) register(set *pflag.FlagSet) {
	f.volume.check = func(s string) error { _, _, err := ParseVolume(s); return err }
	f.mount.check = func(s string) error { _, err := ParseMount(s); return err }
	f.storageOpt.check = checkPair
	set.VarP(&f.volume, "volume", "v", "Bind mount a volume")
	set.Var(&f.mount, "mount", "Attach a filesystem mount to the container")
	set.Var(&f.tmpfs, "tmpfs", "Mount a tmpfs directory")
	set.Var(&f.volumesFrom, "volumes-from", "Mount volumes from the specified container(s)")
	set.StringVar(&f.volumeDriver, "volume-driver", "", "Optional volume driver for the container")
	set.BoolVar(&f.readOnly, "read-only", false, "Mount the container's root filesystem as read only")
	set.Var(&f.storageOpt, "storage-opt", "Storage driver options for the container")
}

func (f *networking) register(set *pflag.FlagSet) {
	f.publish.check = func(s string) error { _, err := ParsePublish(s); return err }
	f.expose.check = func(s string) error { _, err := ParseExpose(s); return err }
	f.network.check = func(s string) error { _, err := parseNetwork(s); return err }
	f.dns.check, f.addHost.check = checkAddress, checkHost
	set.VarP(&f.publish, "publish", "p", "Publish a container's port(s) to the host")
	set.BoolVarP(&f.publishAll, "publish-all", "P", false, "Publish all exposed ports to random ports")
	set.Var(&f.expose, "expose", "Expose a port or a range of ports")
	set.Var(&f.network, "network", "Connect a container to a network")
	set.Var(&f.network, "net", "Connect a container to a network")
	set.Var(&f.alias, "network-alias", "Add network-scoped alias for the container")
	set.Var(&f.alias, "net-alias", "Add network-scoped alias for the container")
	_ = set.MarkHidden("net")
	_ = set.MarkHidden("net-alias")
	set.Var(&f.link, "link", "Add link to another container")
	set.Var(&f.linkLocal, "link-local-ip", "Container IPv4/IPv6 link-local addresses")
	set.StringVarP(&f.hostname, "hostname", "h", "", "Container host name")
	set.StringVar(&f.domainname, "domainname", "", "Container NIS domain name")
	set.StringVar(&f.ip, "ip", "", "IPv4 address (e.g., 172.30.100.104)")
	set.StringVar(&f.ip6, "ip6", "", "IPv6 address (e.g., 2001:db8::33)")
	set.StringVar(&f.mac, "mac-address", "", "Container MAC address (e.g., 92:d0:c6:0a:29:33)")
	set.Var(&f.addHost, "add-host", "Add a custom host-to-IP mapping (host:ip)")
	set.Var(&f.dns, "dns", "Set custom DNS servers")
	set.Var(&f.dnsSearch, "dns-search", "Set custom DNS search domains")
	set.Var(&f.dnsOption, "dns-option", "Set DNS options")
	set.Var(&f.dnsOption, "dns-opt", "Set DNS options")
	_ = set.MarkHidden("dns-opt")
}

func (f *isolation) register(set *pflag.FlagSet) {
	f.sysctl.check = checkPair
	f.device.check = func(s string) error {
		if isCDI(s) {
			return nil
		}
		_, err := parseDevice(s)
		return err
	}
	set.Var(&f.capAdd, "cap-add", "Add Linux capabilities")
	set.Var(&f.capDrop, "cap-drop", "Drop Linux capabilities")
	set.BoolVar(&f.privileged, "privileged", false, "Give extended privileges to this container")
	set.Var(&f.securityOpt, "security-opt", "Security Options")
	set.Var(&f.groupAdd, "group-add", "Add additional groups to join")
	set.Var(&f.sysctl, "sysctl", "Sysctl options")
	set.Var(&f.device, "device", "Add a host device to the container")
	f.gpus.check = func(s string) error { _, err := parseGPUs(s); return err }
	set.Var(&f.gpus, "gpus", "GPU devices to add to the container ('all' to pass all GPUs)")
	set.Var(&f.deviceRule, "device-cgroup-rule", "Add a rule to the cgroup allowed devices list")
	set.StringVar(&f.pid, "pid", "", "PID namespace to use")
	set.StringVar(&f.ipc, "ipc", "", "IPC mode to use")
	set.StringVar(&f.uts, "uts", "", "UTS namespace to use")
	set.StringVar(&f.cgroupns, "cgroupns", "", "Cgroup namespace to use (host|private)")
	set.StringVar(&f.userns, "userns", "", "User namespace to use")
	set.StringVar(&f.cgroupParent, "cgroup-parent", "", "Optional parent cgroup for the container")
	set.StringVar(&f.isolation, "isolation", "", "Container isolation technology")
	_ = set.MarkHidden("isolation")
}

func (f *limits) register(set *pflag.FlagSet) {
	set.VarP(&f.memory, "memory", "m", "Memory limit")
	set.Var(&f.reservation, "memory-reservation", "Memory soft limit")
	set.Var(&f.memorySwap, "memory-swap", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap")
	set.Var(&f.kernel, "kernel-memory", "")
	_ = set.MarkHidden("kernel-memory") // gone from the API: accepted and without effect, as in Docker
	set.Var(&f.cpus, "cpus", "Number of CPUs")
	set.Int64VarP(&f.cpuShares, "cpu-shares", "c", 0, "CPU shares (relative weight)")
	set.Int64Var(&f.cpuPeriod, "cpu-period", 0, "Limit CPU CFS (Completely Fair Scheduler) period")
	set.Int64Var(&f.cpuQuota, "cpu-quota", 0, "Limit CPU CFS (Completely Fair Scheduler) quota")
	set.Int64Var(&f.rtPeriod, "cpu-rt-period", 0, "Limit CPU real-time period in microseconds")
	set.Int64Var(&f.rtUs, "cpu-rt-runtime", 0, "Limit CPU real-time runtime in microseconds")
	set.StringVar(&f.cpusetCpus, "cpuset-cpus", "", "CPUs in which to allow execution (0-3, 0,1)")
	set.StringVar(&f.cpusetMems, "cpuset-mems", "", "MEMs in which to allow execution (0-3, 0,1)")
	set.Int64Var(&f.pidsLimit, "pids-limit", 0, "Tune container pids limit (set -1 for unlimited)")
	set.Uint16Var(&f.blkioWeight, "blkio-weight", 0, "Block IO (relative weight), between 10 and 1000, or 0 to disable")
}

func (f *resources) register(set *pflag.FlagSet) {
	f.limits.register(set)
	f.ulimit.check = checkUlimit
	set.Int64Var(&f.swappiness, "memory-swappiness", -1, "Tune container memory swappiness (0 to 100)")
	set.Var(&f.shmSize, "shm-size", "Size of /dev/shm")
	set.Var(&f.ulimit, "ulimit", "Ulimit options")
	set.BoolVar(&f.oomKillDisable, "oom-kill-disable", false, "Disable OOM Killer")
	set.IntVar(&f.oomScoreAdj, "oom-score-adj", 0, "Tune host's OOM preferences (-1000 to 1000)")
	set.Var(&f.blkioWeightDevice, "blkio-weight-device", "Block IO weight (relative device weight)")
	set.Var(&f.readBps, "device-read-bps", "Limit read rate (bytes per second) from a device")
	set.Var(&f.writeBps, "device-write-bps", "Limit write rate (bytes per second) to a device")
	set.Var(&f.readIOps, "device-read-iops", "Limit read rate (IO per second) from a device")
	set.Var(&f.writeIOps, "device-write-iops", "Limit write rate (IO per second) to a device")
}

func (f *health) register(set *pflag.FlagSet) {
	set.BoolVar(&f.none, "no-healthcheck", false, "Disable any container-specified HEALTHCHECK")
	set.StringVar(&f.cmd, "health-cmd", "", "Command to run to check health")
	set.StringVar(&f.http, "health-http", "", "Port, path or URL to GET in the container's network, and good statuses (8080/healthz 200-299)")
	set.StringVar(&f.tcp, "health-tcp", "", "Port to connect to in the container's network")
	set.BoolVar(&f.heal, "restart-unhealthy", false, "Restart the container when its health check fails")
	set.DurationVar(&f.interval, "health-interval", 0, "Time between running the check (ms|s|m|h)")
	set.DurationVar(&f.timeout, "health-timeout", 0, "Maximum time to allow one check to run (ms|s|m|h)")
	set.DurationVar(&f.startPeriod, "health-start-period", 0, "Start period for the container to initialize (ms|s|m|h)")
	set.DurationVar(&f.startInterval, "health-start-interval", 0, "Time between running the check during the start period (ms|s|m|h)")
	set.IntVar(&f.retries, "health-retries", 0, "Consecutive failures needed to report unhealthy")
}
