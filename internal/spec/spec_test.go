package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/container"
)

const testID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// fakeDevices is a small /dev.
func fakeDevices(path string) ([]specs.LinuxDevice, error) {
	all := []specs.LinuxDevice{
		{Path: "/dev/sda", Type: "b", Major: 8, Minor: 0},
		{Path: "/dev/snd/seq", Type: "c", Major: 116, Minor: 1},
		{Path: "/dev/snd/timer", Type: "c", Major: 116, Minor: 33},
	}
	var list []specs.LinuxDevice
	for _, d := range all {
		if d.Path == path || strings.HasPrefix(d.Path, path+"/") {
			list = append(list, d)
		}
	}
	if list == nil {
		return nil, &fs.PathError{Op: "lstat", Path: path, Err: errors.New("no such file or directory")}
	}
	return list, nil
}

// input is that of a container with nothing special.
func input() Input {
	return Input{
		Record: &container.Record{
			ID:         testID,
			Config:     &api.Config{Cmd: []string{"sh"}},
			HostConfig: &api.HostConfig{NetworkMode: "bridge"},
		},
		NetNS: "/run/netns/x", CgroupParent: "/berth", CgroupV2: true, Devices: fakeDevices,
	}
}

func build(t *testing.T, change func(*Input, *api.Config, *api.HostConfig)) Output {
	t.Helper()
	in := input()
	if change != nil {
		change(&in, in.Record.Config, in.Record.HostConfig)
	}
	out, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func mountLines(s *specs.Spec) string {
	var b strings.Builder
	for _, m := range s.Mounts {
		fmt.Fprintf(&b, "%s %s %s %s\n", m.Destination, m.Type, m.Source, strings.Join(m.Options, ","))
	}
	return b.String()
}

func namespaceLine(s *specs.Spec) string {
	var list []string
	for _, n := range s.Linux.Namespaces {
		item := string(n.Type)
		if n.Path != "" {
			item += "=" + n.Path
		}
		list = append(list, item)
	}
	return strings.Join(list, " ")
}

func capLine(c *specs.LinuxCapabilities) string {
	return strings.ToLower(strings.ReplaceAll(strings.Join(c.Bounding, " "), "CAP_", ""))
}

func rule(d specs.LinuxDeviceCgroup) string {
	number := func(n *int64) string {
		if n == nil {
			return "*"
		}
		return fmt.Sprint(*n)
	}
	return fmt.Sprintf("%v %s %s:%s %s", d.Allow, d.Type, number(d.Major), number(d.Minor), d.Access)
}

func TestDefaults(t *testing.T) {
	out := build(t, func(in *Input, c *api.Config, h *api.HostConfig) {
		in.ResolvConfFile, in.HostnameFile, in.HostsFile = "/e/resolv.conf", "/e/hostname", "/e/hosts"
	})
	s := out.Spec
	for name, pair := range map[string][2]string{
		"mounts": {mountLines(s), `/proc proc proc nosuid,noexec,nodev
/dev tmpfs tmpfs nosuid,strictatime,mode=755,size=65536k
/dev/pts devpts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5
/sys sysfs sysfs nosuid,noexec,nodev,ro
/sys/fs/cgroup cgroup cgroup nosuid,noexec,nodev,ro
/dev/mqueue mqueue mqueue nosuid,noexec,nodev
/dev/shm tmpfs shm nosuid,noexec,nodev,mode=1777,size=67108864
/etc/hostname bind /e/hostname rbind,rprivate
/etc/hosts bind /e/hosts rbind,rprivate
/etc/resolv.conf bind /e/resolv.conf rbind,rprivate
`},
		"namespaces":   {namespaceLine(s), "mount network=/run/netns/x uts pid ipc cgroup"},
		"capabilities": {capLine(s.Process.Capabilities), "chown dac_override fsetid fowner mknod net_raw setgid setuid setfcap setpcap net_bind_service sys_chroot kill audit_write"},
		"inheritable":  {fmt.Sprint(s.Process.Capabilities.Inheritable, s.Process.Capabilities.Ambient), "[] []"},
		"environment":  {strings.Join(s.Process.Env, " "), "PATH=" + defaultPath + " HOSTNAME=0123456789ab"},
		"command":      {strings.Join(s.Process.Args, " ") + " in " + s.Process.Cwd, "sh in /"},
		"cgroup":       {s.Linux.CgroupsPath, "/berth/" + testID},
		"hostname":     {s.Hostname, "0123456789ab"},
		"sysctl":       {fmt.Sprint(s.Linux.Sysctl), "map[net.ipv4.ip_unprivileged_port_start:0 net.ipv4.ping_group_range:0 2147483647]"},
		"warnings":     {fmt.Sprint(out.Warnings), "[]"},
		"oom":          {fmt.Sprint(*s.Process.OOMScoreAdj), "0"},
		"first rule":   {rule(s.Linux.Resources.Devices[0]), "false  *:* rwm"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s:\n%s\nwant:\n%s", name, pair[0], pair[1])
		}
	}
	if s.Linux.Seccomp == nil || s.Linux.Seccomp.DefaultAction != specs.ActErrno || len(s.Linux.MaskedPaths) < 10 || len(s.Linux.ReadonlyPaths) != 5 {
		t.Error("the default confinement is not there")
	}
}

// row changes one option and looks at what follows from it.
type row struct {
	name   string
	change func(*Input, *api.Config, *api.HostConfig)
	show   func(Output) string
	want   string
}

func runRows(t *testing.T, rows []row) {
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.show(build(t, tt.change)); got != tt.want {
				t.Errorf("\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestProcessAndNamespaces(t *testing.T) {
	yes := true
	runRows(t, []row{
		{"cap-add without prefix, cap-drop", func(_ *Input, _ *api.Config, h *api.HostConfig) {
			h.CapAdd, h.CapDrop = []string{"net_admin"}, []string{"CAP_MKNOD", "KILL"}
		}, func(o Output) string { return capLine(o.Spec.Process.Capabilities) },
			"chown dac_override fsetid fowner net_raw setgid setuid setfcap setpcap net_bind_service sys_chroot audit_write net_admin"},
		{"cap-drop ALL", func(_ *Input, _ *api.Config, h *api.HostConfig) {
			h.CapAdd, h.CapDrop = []string{"CHOWN"}, []string{"all"}
		}, func(o Output) string { return capLine(o.Spec.Process.Capabilities) }, "chown"},
		{"cap-add ALL", func(_ *Input, _ *api.Config, h *api.HostConfig) {
			h.CapAdd, h.CapDrop = []string{"ALL"}, []string{"SYS_ADMIN"}
		}, func(o Output) string {
			c := o.Spec.Process.Capabilities.Bounding
			return fmt.Sprint(len(c), slices.Contains(c, "CAP_SYS_ADMIN"))
		}, "40 false"},
		{"host namespaces", func(in *Input, _ *api.Config, h *api.HostConfig) {
			in.NetNS, h.NetworkMode, h.PidMode, h.IpcMode, h.UTSMode, h.CgroupnsMode = "", "host", "host", "host", "host", "host"
		}, func(o Output) string {
			return namespaceLine(o.Spec) + " " + o.Spec.Hostname + fmt.Sprint(o.Spec.Linux.Sysctl)
		}, "mount map[]"},
		{"joined namespaces", func(in *Input, _ *api.Config, h *api.HostConfig) {
			in.NetNS, in.PidNS, in.IpcNS, h.NetworkMode = "/proc/7/ns/net", "/proc/7/ns/pid", "/proc/7/ns/ipc", "container:x"
		}, func(o Output) string { return namespaceLine(o.Spec) + fmt.Sprint(o.Spec.Linux.Sysctl) },
			"mount network=/proc/7/ns/net uts pid=/proc/7/ns/pid ipc=/proc/7/ns/ipc cgroupmap[]"},
		{"cgroup namespace on v1", func(in *Input, _ *api.Config, _ *api.HostConfig) { in.CgroupV2 = false },
			func(o Output) string { return namespaceLine(o.Spec) }, "mount network=/run/netns/x uts pid ipc"},
		{"entrypoint, workdir, user, tty", func(_ *Input, c *api.Config, h *api.HostConfig) {
			c.Entrypoint, c.Cmd, c.WorkingDir, c.User, c.Tty = []string{"/e"}, []string{"a"}, "/w", "www:5", true
			c.Env, h.GroupAdd, h.ConsoleSize = []string{"A=b", "PATH=/bin"}, []string{"100"}, [2]uint{24, 80}
		}, func(o Output) string {
			p := o.Spec.Process
			return fmt.Sprint(p.Args, p.Cwd, p.User.Username, p.User.AdditionalGids, p.Terminal, *p.ConsoleSize, p.Env)
		}, "[/e a]/wwww:5[100] true {24 80} [PATH=/bin HOSTNAME=0123456789ab TERM=xterm A=b]"},
		{"a variable is taken away", func(_ *Input, c *api.Config, _ *api.HostConfig) { c.Env = []string{"HOSTNAME"} },
			func(o Output) string { return fmt.Sprint(o.Spec.Process.Env) }, "[PATH=" + defaultPath + "]"},
		{"init", func(in *Input, _ *api.Config, h *api.HostConfig) { in.InitBinary, h.Init = "/lib/berth-init", &yes },
			func(o Output) string {
				return fmt.Sprint(o.Spec.Process.Args, o.Spec.Mounts[len(o.Spec.Mounts)-1])
			}, "[/sbin/docker-init -- sh] {/sbin/docker-init bind /lib/berth-init [bind ro] [] []}"},
	})
}

func TestSecurityAndLimits(t *testing.T) {
	runRows(t, []row{
		{"privileged", func(_ *Input, _ *api.Config, h *api.HostConfig) { h.Privileged = true },
			func(o Output) string {
				l := o.Spec.Linux
				return fmt.Sprint(len(o.Spec.Process.Capabilities.Bounding), l.Seccomp == nil, l.MaskedPaths, l.ReadonlyPaths, len(l.Devices),
					rule(l.Resources.Devices[0]), o.Spec.Mounts[3].Options, o.Spec.Mounts[4].Options)
			}, "41 true [] [] 3true  *:* rwm[nosuid noexec nodev rw] [nosuid noexec nodev rw]"},
		{"security options", func(_ *Input, _ *api.Config, h *api.HostConfig) {
			h.SecurityOpt = []string{"no-new-privileges", "seccomp=unconfined", "systempaths=unconfined", "apparmor=unconfined", "label=disable"}
		}, func(o Output) string {
			l := o.Spec.Linux
			return fmt.Sprint(o.Spec.Process.NoNewPrivileges, l.Seccomp == nil, l.MaskedPaths, l.ReadonlyPaths, o.Warnings, o.Spec.Process.ApparmorProfile)
		}, `true true [] [] []`},
		{"seccomp profile", func(_ *Input, _ *api.Config, h *api.HostConfig) {
			h.SecurityOpt = []string{`seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"mkdir","action":"SCMP_ACT_ERRNO"}]}`}
		}, func(o Output) string {
			return fmt.Sprint(o.Spec.Linux.Seccomp.DefaultAction, o.Spec.Linux.Seccomp.Syscalls[0].Names)
		}, "SCMP_ACT_ALLOW[mkdir]"},
		{"devices", func(_ *Input, _ *api.Config, h *api.HostConfig) {
			h.Devices = []api.DeviceMapping{{PathOnHost: "/dev/sda", PathInContainer: "/dev/xvda", CgroupPermissions: "r"}, {PathOnHost: "/dev/snd"}}
			h.DeviceCgroupRules = []string{"c 42:* rm"}
		}, func(o Output) string {
			var b strings.Builder
			for _, d := range o.Spec.Linux.Devices {
				b.WriteString(d.Path + " ")
			}
			for _, d := range o.Spec.Linux.Resources.Devices[7:] {
				b.WriteString(rule(d) + ";")
			}
			return b.String()
		}, "/dev/xvda /dev/snd/seq /dev/snd/timer true b 8:0 r;true c 116:1 rwm;true c 116:33 rwm;true c 42:* rm;"},
		{"limits", func(_ *Input, _ *api.Config, h *api.HostConfig) {
			h.Memory, h.MemorySwap, h.NanoCPUs, h.PidsLimit, h.OomScoreAdj = 64<<20, -1, 500_000_000, ptr[int64](9), 7
			h.Ulimits = []*units.Ulimit{{Name: "nofile", Soft: 5, Hard: -1}}
			h.CPUShares, h.CpusetCpus, h.BlkioWeight, h.MemorySwappiness = 5, "0-1,3", 300, ptr[int64](-1)
		}, func(o Output) string {
			r := o.Spec.Linux.Resources
			return fmt.Sprint(*r.Memory.Limit, *r.Memory.Swap, r.Memory.Swappiness, *r.CPU.Quota, *r.CPU.Period, *r.CPU.Shares, r.CPU.Cpus,
				*r.Pids.Limit, *r.BlockIO.Weight, *o.Spec.Process.OOMScoreAdj, o.Spec.Process.Rlimits)
		}, "67108864 -1 <nil> 50000 100000 50-1,39 300 7 [{RLIMIT_NOFILE 18446744073709551615 5}]"},
		{"sysctl", func(_ *Input, _ *api.Config, h *api.HostConfig) {
			h.Sysctls = map[string]string{"net/ipv4/ip_unprivileged_port_start": "1024", "kernel.shmmax": "5"}
		}, func(o Output) string { return fmt.Sprint(o.Spec.Linux.Sysctl) },
			"map[kernel.shmmax:5 net.ipv4.ip_unprivileged_port_start:1024 net.ipv4.ping_group_range:0 2147483647]"},
		{"cgroup parent", func(_ *Input, _ *api.Config, h *api.HostConfig) { h.CgroupParent = "mine" },
			func(o Output) string { return o.Spec.Linux.CgroupsPath }, "/mine/" + testID},
	})
}

func TestUserMounts(t *testing.T) {
	out := build(t, func(in *Input, _ *api.Config, h *api.HostConfig) {
		in.HostsFile, h.ReadonlyRootfs = "/e/hosts", true
		h.Tmpfs = map[string]string{"/run": "exec,size=1m"}
		in.Record.Mounts = []container.Mount{
			{Type: mount.TypeBind, Source: "/a/b", Destination: "/data/deep/er", RW: true, Propagation: mount.PropagationRShared},
			{Type: mount.TypeVolume, Source: "/v", Destination: "/data/", RW: false},
			{Type: mount.TypeBind, Source: "/shm", Destination: "/dev/shm", RW: true},
			{Type: mount.TypeTmpfs, Destination: "/t", RW: true, Tmpfs: &mount.TmpfsOptions{SizeBytes: 5, Mode: 0o700}},
			{Type: mount.TypeBind, Source: "/n", Destination: "/n", Bind: &mount.BindOptions{NonRecursive: true}},
		}
	})
	_, got, _ := strings.Cut(mountLines(out.Spec), "gid=5\n")
	want := `/sys sysfs sysfs nosuid,noexec,nodev,ro
/sys/fs/cgroup cgroup cgroup nosuid,noexec,nodev,ro
/dev/mqueue mqueue mqueue nosuid,noexec,nodev
/data bind /v rbind,ro,rro,rprivate
/n bind /n bind,ro,rprivate
/run tmpfs tmpfs nosuid,nodev,exec,size=1m
/t tmpfs tmpfs noexec,nosuid,nodev,mode=700,size=5
/dev/shm bind /shm rbind,rprivate
/etc/hosts bind /e/hosts rbind,rprivate,ro
/data/deep/er bind /a/b rbind,rshared
`
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if out.Spec.Linux.RootfsPropagation != "shared" || !out.Spec.Root.Readonly {
		t.Error(out.Spec.Linux.RootfsPropagation, out.Spec.Root)
	}
}

// Who is confined by which profile of AppArmor.
func TestAppArmor(t *testing.T) {
	for _, tc := range []struct {
		enforced, privileged bool
		options              []string
		want, exec           string // of the container and of an exec with privileges
	}{
		{true, false, nil, DefaultAppArmor, Unconfined}, {true, true, nil, Unconfined, Unconfined},
		{true, false, []string{"apparmor=mine"}, "mine", Unconfined}, {true, true, []string{"apparmor:mine"}, "mine", Unconfined},
		{true, false, []string{"apparmor=unconfined"}, Unconfined, Unconfined},
		{false, false, nil, "", ""}, {false, false, []string{"apparmor=docker-default"}, "", ""}, {false, false, []string{"apparmor=unconfined"}, "", ""},
	} {
		out := build(t, func(in *Input, _ *api.Config, h *api.HostConfig) {
			in.AppArmor, h.Privileged, h.SecurityOpt = tc.enforced, tc.privileged, tc.options
			if tc.privileged {
				in.Devices = func(string) ([]specs.LinuxDevice, error) { return nil, nil }
			}
		})
		if got := out.Spec.Process.ApparmorProfile; got != tc.want {
			t.Errorf("%+v: %q", tc, got)
		}
		p, err := ExecProcess(input().Record, out.Spec, api.ExecCreateRequest{Cmd: []string{"sh"}, Privileged: true})
		if err != nil || p.ApparmorProfile != tc.exec {
			t.Errorf("exec of %+v: %+v, %v", tc, p, err)
		}
	}
}

// A mount over /dev is the user's whole /dev; without IPC there is no /dev/shm.
func TestReplacedMounts(t *testing.T) {
	out := build(t, func(in *Input, _ *api.Config, h *api.HostConfig) {
		in.Record.Mounts = []container.Mount{{Type: mount.TypeBind, Source: "/dev", Destination: "/dev", RW: true}}
	})
	if lines := mountLines(out.Spec); strings.Contains(lines, "devpts") || strings.Contains(lines, "/dev/shm") {
		t.Error(lines)
	}
	out = build(t, func(_ *Input, _ *api.Config, h *api.HostConfig) { h.IpcMode = "none" })
	if lines := mountLines(out.Spec); strings.Contains(lines, "/dev/shm") {
		t.Error(lines)
	}
	out = build(t, func(in *Input, _ *api.Config, h *api.HostConfig) { in.ShmDir = "/proc/7/root/dev/shm" })
	if lines := mountLines(out.Spec); !strings.Contains(lines, "/dev/shm bind /proc/7/root/dev/shm nosuid,noexec,nodev,rbind,rprivate\n") {
		t.Error(lines)
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		change func(*Input, *api.Config, *api.HostConfig)
		want   string
	}{
		{func(_ *Input, c *api.Config, _ *api.HostConfig) { c.Cmd = nil }, "no command specified"},
		{func(_ *Input, c *api.Config, _ *api.HostConfig) { c.WorkingDir = "w" }, "the working directory 'w' is invalid, it needs to be an absolute path"},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.CapAdd = []string{"fly"} }, `invalid CapAdd: unknown capability: "fly"`},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.CapDrop = []string{"fly"} }, `invalid CapDrop: unknown capability: "fly"`},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.SecurityOpt = []string{"apparmor=mine"} }, "security-opt apparmor=mine: AppArmor is not enabled on this host; leave the option out"},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.SecurityOpt = []string{"label=type:x"} }, `security-opt "label=type:x": the engine gives no SELinux labels; leave the option out, or use label=disable`},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.SecurityOpt = []string{"x"} }, `invalid --security-opt 1: "x"`},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.SecurityOpt = []string{"x=y"} }, `invalid --security-opt 2: "x=y"`},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.SecurityOpt = []string{"seccomp={"} }, "security-opt seccomp: Decoding seccomp profile failed: unexpected end of JSON input"},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.Memory = 1 << 20 }, "Minimum memory limit allowed is 6MB"},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.MemorySwap = 1 << 30 }, "You should always set the Memory limit when using Memoryswap limit, see usage"},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.NanoCPUs, h.CPUQuota = 1, 5000 }, "Conflicting options: Nano CPUs and CPU Quota cannot both be set."},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.CpusetCpus = "2-0" }, "Invalid value 2-0 for cpuset cpus"},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.CPUPeriod = 5 }, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.BlkioWeight = 5 }, "Range of blkio weight is from 10 to 1000"},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.OomScoreAdj = 5000 }, "Invalid value 5000, range for oom score adj is [-1000, 1000]"},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.Ulimits = []*units.Ulimit{{Name: "x"}} }, "invalid ulimit type: x"},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) {
			h.Ulimits = []*units.Ulimit{{Name: "core", Soft: 2, Hard: 1}}
		}, "ulimit core: the soft limit must be less than or equal to the hard limit: 2 > 1"},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.Sysctls = map[string]string{"vm.swappiness": "1"} }, `sysctl "vm.swappiness" is not in a separate kernel namespace`},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) {
			h.NetworkMode, h.Sysctls = "host", map[string]string{"net.core.somaxconn": "1"}
		}, `sysctl "net.core.somaxconn" is not allowed in the host's network namespace`},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) {
			h.Devices = []api.DeviceMapping{{PathOnHost: "/dev/x"}}
		},
			`error gathering device information while adding custom device "/dev/x": no such file or directory`},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) {
			h.Devices = []api.DeviceMapping{{PathOnHost: "/dev/sda", CgroupPermissions: "x"}}
		}, "invalid device mode: x"},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.DeviceCgroupRules = []string{"c 1 r"} }, "invalid device cgroup rule format: 'c 1 r'"},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.Tmpfs = map[string]string{"/t": "fly"} }, `Invalid tmpfs option "fly"`},
		{func(_ *Input, _ *api.Config, h *api.HostConfig) { h.GroupAdd = []string{"a:b"} }, `invalid group-add "a:b": give the name or the number of a group`},
		{func(in *Input, _ *api.Config, h *api.HostConfig) {
			h.GroupAdd = []string{"7", "audio"}
			in.Group = func(name string) (uint32, error) { return 0, errdefs.ErrInvalidArgument.WithMessage("no " + name) }
		}, "no audio"},
	} {
		in := input()
		tt.change(&in, in.Record.Config, in.Record.HostConfig)
		_, err := Build(in)
		if !errdefs.IsInvalidArgument(err) || err.Error() != tt.want {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}

func TestExecProcess(t *testing.T) {
	in := input()
	in.Record.Config.User, in.Record.Config.Tty, in.Record.Config.Env = "app", true, []string{"A=1"}
	out, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ExecProcess(in.Record, out.Spec, api.ExecCreateRequest{Cmd: []string{"ls"}, Env: []string{"A=2", "B=3"}, WorkingDir: "/w"})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(p.Args, p.Cwd, p.User.Username, p.Terminal, p.Env, len(p.Capabilities.Bounding))
	if want := "[ls]/wappfalse [PATH=" + defaultPath + " HOSTNAME=0123456789ab A=2 B=3] 14"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	p, err = ExecProcess(in.Record, out.Spec, api.ExecCreateRequest{Cmd: []string{"sh"}, Tty: true, ConsoleSize: &[2]uint{5, 6}, User: "0", Privileged: true})
	if err != nil {
		t.Fatal(err)
	}
	got = fmt.Sprint(p.User.Username, p.Terminal, *p.ConsoleSize, slices.Contains(p.Env, "TERM=xterm"), len(p.Capabilities.Bounding))
	if want := "0true {5 6} true 41"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if !out.Spec.Process.Terminal || out.Spec.Process.Args[0] != "sh" || len(out.Spec.Process.Capabilities.Bounding) != 14 {
		t.Error("the container's process was changed")
	}
	for _, req := range []api.ExecCreateRequest{{}, {Cmd: []string{"a"}, WorkingDir: "w"}, {Cmd: []string{"a"}, Env: []string{"=x"}}} {
		if _, err := ExecProcess(in.Record, out.Spec, req); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%+v: %v", req, err)
		}
	}
}

func TestHostDevices(t *testing.T) {
	list, err := HostDevices("/dev/null")
	if err != nil || len(list) != 1 || list[0].Type != "c" || list[0].Major != 1 || list[0].Minor != 3 || list[0].Path != "/dev/null" {
		t.Fatal(list, err)
	}
	list, err = HostDevices("/dev")
	if err != nil || !slices.ContainsFunc(list, func(d specs.LinuxDevice) bool { return d.Path == "/dev/zero" }) {
		t.Error(list, err)
	}
	if slices.ContainsFunc(list, func(d specs.LinuxDevice) bool { return strings.HasPrefix(d.Path, "/dev/pts/") }) {
		t.Error("terminals are listed")
	}
	for _, path := range []string{"/dev/nothing-here", "/proc/self/status"} {
		if _, err := HostDevices(path); err == nil {
			t.Errorf("%s is a device", path)
		}
	}
}

func FuzzTexts(f *testing.F) {
	f.Add("c 1:3 rwm", "seccomp=unconfined", "size=1m,exec", "net.ipv4.x", "0-3")
	f.Add("a *:* m", "label:disable", "", "fs/mqueue/y", "1,2")
	f.Fuzz(func(t *testing.T, device, security, tmpfs, sysctl, cpus string) {
		_, _ = parseRule(device)
		_, _ = parseSecurity([]string{security})
		if o, err := tmpfsOptions(strings.Split(tmpfs, ",")); err == nil && len(o) == 0 {
			t.Error("no options")
		}
		if checkSysctl(dotted(sysctl), false, false, false) == nil && strings.Contains(sysctl, "..") {
			t.Errorf("sysctl %q", sysctl)
		}
		_ = checkList(cpus)
	})
}

func BenchmarkBuild(b *testing.B) {
	in := input()
	for b.Loop() {
		if _, err := Build(in); err != nil {
			b.Fatal(err)
		}
	}
}
