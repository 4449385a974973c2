// Package merge joins what the user asked for with what the image says and the
// defaults, as Docker does, and refuses what cannot be.
package merge

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/engine/health"
	"github.com/berth-containers/berth/internal/engine/logging"
	"github.com/berth-containers/berth/internal/engine/restart"
)

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// Config returns the user's configuration completed by the image's (nil for an
// image that says nothing). Neither is changed.
func Config(user, image *container.Config) *container.Config {
	c := *user
	if image == nil {
		image = &container.Config{}
	}
	c.Env = mergeEnv(user.Env, image.Env)
	c.Labels = maps.Clone(image.Labels)
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	maps.Copy(c.Labels, user.Labels)
	c.ExposedPorts = union(user.ExposedPorts, image.ExposedPorts)
	c.Volumes = union(user.Volumes, image.Volumes)
	// An entrypoint of the user's makes the image's command meaningless; [""]
	// is how a client says "no entrypoint".
	switch {
	case len(user.Entrypoint) == 1 && user.Entrypoint[0] == "":
		c.Entrypoint = nil
	case len(user.Entrypoint) == 0:
		c.Entrypoint = image.Entrypoint
		if len(user.Cmd) == 0 {
			c.Cmd = image.Cmd
			c.ArgsEscaped = image.ArgsEscaped
		}
	}
	c.User = first(user.User, image.User)
	c.WorkingDir = first(user.WorkingDir, image.WorkingDir)
	c.StopSignal = first(user.StopSignal, image.StopSignal)
	if c.StopTimeout == nil {
		c.StopTimeout = image.StopTimeout
	}
	if len(c.Shell) == 0 {
		c.Shell = image.Shell
	}
	c.OnBuild = image.OnBuild
	c.Healthcheck = healthcheck(user.Healthcheck, image.Healthcheck, c.Labels)
	return &c
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func union[K comparable](a, b map[K]struct{}) map[K]struct{} {
	if len(a)+len(b) == 0 {
		return nil
	}
	u := maps.Clone(b)
	if u == nil {
		u = map[K]struct{}{}
	}
	maps.Copy(u, a)
	return u
}

// mergeEnv puts the user's variables before those of the image that the user
// does not set.
func mergeEnv(user, image []string) []string {
	if len(user) == 0 {
		return image
	}
	env := slices.Clone(user)
	set := map[string]bool{}
	for _, e := range user {
		name, _, _ := strings.Cut(e, "=")
		set[name] = true
	}
	for _, e := range image {
		if name, _, _ := strings.Cut(e, "="); !set[name] {
			env = append(env, e)
		}
	}
	return env
}

// healthcheck joins the user's with the image's. A label asks for a probe unless
// the user has said by a test what is wanted.
func healthcheck(user, image *container.HealthConfig, labels map[string]string) *container.HealthConfig {
	h := joinHealth(user, image)
	if user != nil && len(user.Test) > 0 {
		return h
	}
	for label, word := range map[string]string{health.LabelHTTP: health.WordHTTP, health.LabelTCP: health.WordTCP} {
		if value, ok := labels[label]; ok {
			probe := container.HealthConfig{}
			if h != nil {
				probe = *h
			}
			probe.Test = append([]string{word}, strings.Fields(value)...)
			h = &probe
		}
	}
	return h
}

// joinHealth lets each field that the user leaves out come from the image.
func joinHealth(user, image *container.HealthConfig) *container.HealthConfig {
	if user == nil || image == nil {
		if user == nil {
			return image
		}
		return user
	}
	h := *user
	if len(h.Test) == 0 {
		h.Test = image.Test
	}
	if h.Interval == 0 {
		h.Interval = image.Interval
	}
	if h.Timeout == 0 {
		h.Timeout = image.Timeout
	}
	if h.StartPeriod == 0 {
		h.StartPeriod = image.StartPeriod
	}
	if h.StartInterval == 0 {
		h.StartInterval = image.StartInterval
	}
	if h.Retries == 0 {
		h.Retries = image.Retries
	}
	return &h
}

// CheckConfig returns InvalidArgument for a merged configuration that cannot run.
func CheckConfig(c *container.Config) error {
	_, overHTTP := c.Labels[health.LabelHTTP]
	if _, overTCP := c.Labels[health.LabelTCP]; overHTTP && overTCP {
		return invalid("conflicting options: the labels %s and %s", health.LabelHTTP, health.LabelTCP)
	}
	if len(c.Entrypoint) == 0 && len(c.Cmd) == 0 {
		return invalid("no command specified")
	}
	if len(c.Entrypoint) == 0 && len(c.Cmd) > 0 && c.Cmd[0] == "" {
		return invalid("no command specified")
	}
	if c.WorkingDir != "" && !path.IsAbs(c.WorkingDir) {
		return invalid("the working directory '%s' is invalid, it needs to be an absolute path", c.WorkingDir)
	}
	if c.StopSignal != "" {
		if _, err := Signal(c.StopSignal); err != nil {
			return err
		}
	}
	for _, e := range c.Env {
		if name, _, _ := strings.Cut(e, "="); name == "" {
			return invalid("invalid environment variable: %s", e)
		}
	}
	if err := checkProgram(c); err != nil {
		return err
	}
	if health.Direct(c.Healthcheck) {
		if _, err := health.Parse(c.Healthcheck.Test); err != nil {
			return err
		}
	}
	if err := restart.CheckLabels(c.Labels); err != nil {
		return err
	}
	return checkNames(c)
}

// HostConfig returns the user's host configuration (nil: nothing asked for) with
// Docker's defaults in it: on cgroup v2 a cgroup namespace of its own.
func HostConfig(user *container.HostConfig, cgroupV2 bool) *container.HostConfig {
	var h container.HostConfig
	if user != nil {
		h = *user
	}
	if h.NetworkMode == "" || h.NetworkMode == network.NetworkDefault {
		h.NetworkMode = network.NetworkBridge
	}
	if h.IpcMode == "" {
		h.IpcMode = container.IPCModePrivate
	}
	if h.CgroupnsMode == "" {
		h.CgroupnsMode = container.CgroupnsModeHost
		if cgroupV2 {
			h.CgroupnsMode = container.CgroupnsModePrivate
		}
	}
	if h.ShmSize == 0 {
		h.ShmSize = 64 << 20
	}
	if h.RestartPolicy.Name == "" {
		h.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyDisabled}
	}
	if h.PortBindings == nil {
		h.PortBindings = network.PortMap{}
	}
	// How clients say that they leave it to the kernel.
	if s := h.MemorySwappiness; s != nil && *s == -1 {
		h.MemorySwappiness = nil
	}
	if l := h.PidsLimit; l != nil && *l <= 0 {
		h.PidsLimit = nil
	}
	// Docker's swap default: as much again as memory.
	if h.Memory > 0 && h.MemorySwap == 0 {
		h.MemorySwap = 2 * h.Memory
	}
	return &h
}

// CheckHostConfig returns InvalidArgument for what contradicts itself. What
// depends on the host or on another container is checked where it is used.
func CheckHostConfig(h *container.HostConfig, c *container.Config) error {
	if err := container.ValidateRestartPolicy(h.RestartPolicy); err != nil {
		return invalid("%s", err)
	}
	if h.AutoRemove && !h.RestartPolicy.IsNone() {
		return invalid("can't create 'AutoRemove' container with restart policy")
	}
	if err := logging.Check(h.LogConfig); err != nil {
		return err
	}
	for _, m := range []struct {
		ok   bool
		name string
		mode any
	}{
		{h.PidMode.Valid(), "PID", h.PidMode}, {h.IpcMode.Valid(), "IPC", h.IpcMode}, {h.UTSMode.Valid(), "UTS", h.UTSMode},
		{h.UsernsMode.Valid(), "userns", h.UsernsMode}, {h.CgroupnsMode.Valid(), "cgroup namespace", h.CgroupnsMode},
	} {
		if !m.ok {
			return invalid("invalid %s mode: %v", m.name, m.mode)
		}
	}
	if err := checkRuntime(h.Runtime); err != nil {
		return err
	}
	if err := checkResolver(h); err != nil {
		return err
	}
	if err := checkHealth(c.Healthcheck); err != nil {
		return err
	}
	if h.UTSMode.IsHost() && c.Hostname != "" {
		// What inspect says of such a container may be asked for again.
		if name, err := os.Hostname(); err != nil || c.Hostname != name {
			return invalid("conflicting options: hostname and the UTS mode")
		}
	}
	if h.NetworkMode.IsContainer() {
		return checkJoined(h, c)
	}
	return nil
}

// checkHealth refuses times that are no times, in Docker's words.
func checkHealth(h *container.HealthConfig) error {
	if h == nil {
		return nil
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"Interval", h.Interval}, {"Timeout", h.Timeout}, {"StartPeriod", h.StartPeriod}, {"StartInterval", h.StartInterval},
	} {
		if d.value != 0 && d.value < container.MinimumDuration {
			return invalid("%s in Healthcheck cannot be less than %s", d.name, container.MinimumDuration)
		}
	}
	if h.Retries < 0 {
		return invalid("Retries in Healthcheck cannot be negative")
	}
	return nil
}

// checkJoined refuses what belongs to the container whose network is joined.
func checkJoined(h *container.HostConfig, c *container.Config) error {
	switch {
	case c.Hostname != "":
		return invalid("conflicting options: hostname and the network mode")
	case len(h.DNS) > 0:
		return invalid("conflicting options: dns and the network mode")
	case len(h.ExtraHosts) > 0:
		return invalid("conflicting options: custom host-to-IP mapping and the network mode")
	case len(h.PortBindings) > 0 || h.PublishAllPorts:
		return invalid("conflicting options: port publishing and the container type network mode")
	}
	return nil
}

// Signal parses a signal's number or name, with or without SIG; the error has
// Docker's wording.
func Signal(name string) (syscall.Signal, error) {
	var n int
	if _, err := fmt.Sscanf(name, "%d", &n); err == nil && fmt.Sprint(n) == name {
		if n < 1 || n > 64 {
			return 0, invalid("invalid signal: %s", name)
		}
		return syscall.Signal(n), nil
	}
	upper := strings.TrimPrefix(strings.ToUpper(name), "SIG")
	if rest, ok := strings.CutPrefix(upper, "RTMIN"); ok {
		return realtime(name, rest, 34)
	}
	if rest, ok := strings.CutPrefix(upper, "RTMAX"); ok {
		return realtime(name, rest, 64)
	}
	i := slices.Index(strings.Fields(signals), upper)
	if i < 0 {
		return 0, invalid("invalid signal: %s", name)
	}
	if upper == "POLL" {
		return syscall.SIGPOLL, nil
	}
	return syscall.Signal(i + 1), nil
}

// signals are Linux's from 1 to 31, then a second name.
const signals = `HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU
URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS POLL`

func realtime(name, rest string, base int) (syscall.Signal, error) {
	n := 0
	if rest != "" {
		if _, err := fmt.Sscanf(rest, "%d", &n); err != nil {
			return 0, invalid("invalid signal: %s", name)
		}
	}
	if base+n < 34 || base+n > 64 {
		return 0, invalid("invalid signal: %s", name)
	}
	return syscall.Signal(base + n), nil
}
