package spec

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/blkiodev"
	api "github.com/moby/moby/api/types/container"
)

// Where a field of a container's configuration is honoured, if it is not in its
// specification. A field that is new in the API fails TestNoFieldIsIgnored.
var elsewhere = map[string]string{
	// Config
	"AttachStdin": "client: what it joins", "AttachStdout": "client: what it joins", "AttachStderr": "client: what it joins",
	"OpenStdin": "engine: the shim's input", "StdinOnce": "engine: the shim's input", "Healthcheck": "engine/health", "Labels": "engine: filters, events",
	"StopSignal": "engine: stop", "StopTimeout": "engine: stop", "Image": "engine: create", "Volumes": "engine/mounts", "ExposedPorts": "engine/ports",
	"NetworkDisabled": "engine: start", "OnBuild": "image: for builds only", "Shell": "image: for builds only", "ArgsEscaped": "image: of Windows, kept for commit",
	// HostConfig
	"Binds": "engine/mounts", "Mounts": "engine/mounts", "VolumesFrom": "engine/mounts", "VolumeDriver": "engine/mounts", "ContainerIDFile": "client: writes it, shown by inspect",
	"LogConfig": "logs", "PortBindings": "engine/ports", "PublishAllPorts": "engine/ports", "RestartPolicy": "engine/restart", "AutoRemove": "engine: exit",
	"DNS": "engine/files", "DNSOptions": "engine/files", "DNSSearch": "engine/files", "ExtraHosts": "engine/files", "Links": "network",
	"StorageOpt": "engine/storage", "Runtime": "engine/merge", "UsernsMode": "engine: start", "DeviceRequests": "engine/hostspec",
	"Resources": "its own fields",
}

// fields change one field each; what they build must differ, or be refused.
var fields = map[string]func(*api.Config, *api.HostConfig){
	"Hostname":   func(c *api.Config, _ *api.HostConfig) { c.Hostname = "other" },
	"Domainname": func(c *api.Config, _ *api.HostConfig) { c.Domainname = "example.org" },
	"User":       func(c *api.Config, _ *api.HostConfig) { c.User = "7" },
	"Tty":        func(c *api.Config, _ *api.HostConfig) { c.Tty = true },
	"Env":        func(c *api.Config, _ *api.HostConfig) { c.Env = []string{"A=b"} },
	"Cmd":        func(c *api.Config, _ *api.HostConfig) { c.Cmd = []string{"other"} },
	"Entrypoint": func(c *api.Config, _ *api.HostConfig) { c.Entrypoint = []string{"other"} },
	"WorkingDir": func(c *api.Config, _ *api.HostConfig) { c.WorkingDir = "/w" },

	"ConsoleSize":        func(c *api.Config, h *api.HostConfig) { c.Tty, h.ConsoleSize = true, [2]uint{4, 5} },
	"Annotations":        func(_ *api.Config, h *api.HostConfig) { h.Annotations = map[string]string{"a": "b"} },
	"NetworkMode":        func(_ *api.Config, h *api.HostConfig) { h.NetworkMode = "host" },
	"CapAdd":             func(_ *api.Config, h *api.HostConfig) { h.CapAdd = []string{"SYS_ADMIN"} },
	"CapDrop":            func(_ *api.Config, h *api.HostConfig) { h.CapDrop = []string{"CHOWN"} },
	"CgroupnsMode":       func(_ *api.Config, h *api.HostConfig) { h.CgroupnsMode = "host" },
	"GroupAdd":           func(_ *api.Config, h *api.HostConfig) { h.GroupAdd = []string{"7"} },
	"IpcMode":            func(_ *api.Config, h *api.HostConfig) { h.IpcMode = "none" },
	"Cgroup":             func(_ *api.Config, h *api.HostConfig) { h.Cgroup = "container:x" },
	"OomScoreAdj":        func(_ *api.Config, h *api.HostConfig) { h.OomScoreAdj = 5 },
	"PidMode":            func(_ *api.Config, h *api.HostConfig) { h.PidMode = "host" },
	"Privileged":         func(_ *api.Config, h *api.HostConfig) { h.Privileged = true },
	"ReadonlyRootfs":     func(_ *api.Config, h *api.HostConfig) { h.ReadonlyRootfs = true },
	"SecurityOpt":        func(_ *api.Config, h *api.HostConfig) { h.SecurityOpt = []string{"no-new-privileges"} },
	"Tmpfs":              func(_ *api.Config, h *api.HostConfig) { h.Tmpfs = map[string]string{"/t": ""} },
	"UTSMode":            func(_ *api.Config, h *api.HostConfig) { h.UTSMode = "host" },
	"ShmSize":            func(_ *api.Config, h *api.HostConfig) { h.ShmSize = 1 << 20 },
	"Sysctls":            func(_ *api.Config, h *api.HostConfig) { h.Sysctls = map[string]string{"net.core.somaxconn": "9"} },
	"Umask":              func(_ *api.Config, h *api.HostConfig) { h.Umask = ptr(uint32(0o77)) },
	"Isolation":          func(_ *api.Config, h *api.HostConfig) { h.Isolation = "hyperv" },
	"MaskedPaths":        func(_ *api.Config, h *api.HostConfig) { h.MaskedPaths = []string{"/x"} },
	"ReadonlyPaths":      func(_ *api.Config, h *api.HostConfig) { h.ReadonlyPaths = []string{"/x"} },
	"Init":               func(_ *api.Config, h *api.HostConfig) { h.Init = ptr(true) },
	"CgroupParent":       func(_ *api.Config, h *api.HostConfig) { h.CgroupParent = "/other" },
	"CPUShares":          func(_ *api.Config, h *api.HostConfig) { h.CPUShares = 5 },
	"Memory":             func(_ *api.Config, h *api.HostConfig) { h.Memory = 1 << 30 },
	"NanoCPUs":           func(_ *api.Config, h *api.HostConfig) { h.NanoCPUs = 1e9 },
	"BlkioWeight":        func(_ *api.Config, h *api.HostConfig) { h.BlkioWeight = 50 },
	"CPUPeriod":          func(_ *api.Config, h *api.HostConfig) { h.CPUPeriod = 5000 },
	"CPUQuota":           func(_ *api.Config, h *api.HostConfig) { h.CPUQuota = 5000 },
	"CpusetCpus":         func(_ *api.Config, h *api.HostConfig) { h.CpusetCpus = "0" },
	"CpusetMems":         func(_ *api.Config, h *api.HostConfig) { h.CpusetMems = "0" },
	"OomKillDisable":     func(_ *api.Config, h *api.HostConfig) { h.OomKillDisable = ptr(true) },
	"PidsLimit":          func(_ *api.Config, h *api.HostConfig) { h.PidsLimit = ptr(int64(5)) },
	"Ulimits":            func(_ *api.Config, h *api.HostConfig) { h.Ulimits = []*units.Ulimit{{Name: "core", Soft: 1, Hard: 1}} },
	"CPUCount":           func(_ *api.Config, h *api.HostConfig) { h.CPUCount = 1 },
	"CPUPercent":         func(_ *api.Config, h *api.HostConfig) { h.CPUPercent = 1 },
	"IOMaximumIOps":      func(_ *api.Config, h *api.HostConfig) { h.IOMaximumIOps = 1 },
	"MemorySwappiness":   func(_ *api.Config, h *api.HostConfig) { h.MemorySwappiness = ptr(int64(5)) },
	"CPURealtimePeriod":  func(_ *api.Config, h *api.HostConfig) { h.CPURealtimePeriod = 5000 },
	"CPURealtimeRuntime": func(_ *api.Config, h *api.HostConfig) { h.CPURealtimeRuntime = 5000 },
	"IOMaximumBandwidth": func(_ *api.Config, h *api.HostConfig) { h.IOMaximumBandwidth = 1 },
	"MemoryReservation":  func(_ *api.Config, h *api.HostConfig) { h.MemoryReservation = 1 << 30 },
	"MemorySwap":         func(_ *api.Config, h *api.HostConfig) { h.MemorySwap = -1 },
	"DeviceCgroupRules":  func(_ *api.Config, h *api.HostConfig) { h.DeviceCgroupRules = []string{"c 1:3 r"} },
	"Devices":            func(_ *api.Config, h *api.HostConfig) { h.Devices = []api.DeviceMapping{{PathOnHost: "/dev/sda"}} },
	"BlkioWeightDevice": func(_ *api.Config, h *api.HostConfig) {
		h.BlkioWeightDevice = []*blkiodev.WeightDevice{{Path: "/dev/sda", Weight: 50}}
	},
	"BlkioDeviceReadBps":   func(_ *api.Config, h *api.HostConfig) { h.BlkioDeviceReadBps = throttle },
	"BlkioDeviceWriteBps":  func(_ *api.Config, h *api.HostConfig) { h.BlkioDeviceWriteBps = throttle },
	"BlkioDeviceReadIOps":  func(_ *api.Config, h *api.HostConfig) { h.BlkioDeviceReadIOps = throttle },
	"BlkioDeviceWriteIOps": func(_ *api.Config, h *api.HostConfig) { h.BlkioDeviceWriteIOps = throttle },
}

var throttle = []*blkiodev.ThrottleDevice{{Path: "/dev/sda", Rate: 5}}

// Every field of the API is honoured, or refused; none is passed over.
func TestNoFieldIsIgnored(t *testing.T) {
	base := text(t, build(t, nil))
	for _, typ := range []reflect.Type{reflect.TypeFor[api.Config](), reflect.TypeFor[api.HostConfig](), reflect.TypeFor[api.Resources]()} {
		for i := range typ.NumField() {
			name := typ.Field(i).Name
			change := fields[name]
			if change == nil {
				if elsewhere[name] == "" {
					t.Errorf("%s.%s: nobody honours or refuses it", typ.Name(), name)
				}
				continue
			}
			in := input()
			in.InitBinary = "/init"
			change(in.Record.Config, in.Record.HostConfig)
			if in.Record.HostConfig.NetworkMode.IsHost() {
				in.NetNS = ""
			}
			out, err := Build(in)
			if err == nil && text(t, out) == base {
				t.Errorf("%s.%s: the specification is the same with and without it", typ.Name(), name)
			}
		}
	}
}

func text(t *testing.T, out Output) string {
	t.Helper()
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
