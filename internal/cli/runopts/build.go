package runopts

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// Request is what the flags ask for.
type Request struct {
	container.CreateRequest
	Name     string
	Platform string
}

// Build makes the request. args are the image and the command; detach: nothing
// is attached.
func (f *Flags) Build(args []string, detach bool) (*Request, error) {
	switch f.Pull {
	case "always", "missing", "never":
	default:
		return nil, f.invalid("pull", f.Pull, errors.New("must be one of \"always\", \"missing\", \"never\""))
	}
	config := &container.Config{Image: args[0], Cmd: args[1:]}
	if len(args) == 1 {
		config.Cmd = nil
	}
	host := &container.HostConfig{}
	r := &Request{Name: f.Name, Platform: f.Platform, CreateRequest: container.CreateRequest{Config: config, HostConfig: host}}
	host.ContainerIDFile = f.CIDFile
	for _, step := range []func(*container.Config, *container.HostConfig) error{
		func(c *container.Config, h *container.HostConfig) error { return f.streams(c, detach) },
		f.buildProcess, f.buildMetadata, f.buildHealth, f.buildStorage, f.buildPorts, f.buildNames,
		f.buildIsolation, f.buildResources, f.buildIO,
	} {
		if err := step(config, host); err != nil {
			return nil, err
		}
	}
	var err error
	r.NetworkingConfig, err = f.buildNetworks(host)
	return r, err
}

// invalid words an error as pflag does.
func (f *Flags) invalid(flag, value string, err error) error {
	name := "--" + flag
	if known := f.set.Lookup(flag); known != nil && known.Shorthand != "" {
		name = "-" + known.Shorthand + ", " + name
	}
	return fmt.Errorf("invalid argument %q for %q flag: %w", value, name, err)
}

func (f *Flags) streams(c *container.Config, detach bool) error {
	c.Tty, c.OpenStdin = f.tty, f.interactive
	if detach {
		if len(f.attach.values) > 0 {
			return errors.New("conflicting options: cannot specify both --attach and --detach")
		}
		return nil
	}
	for _, name := range f.attach.values {
		switch strings.ToLower(name) {
		case "stdin":
			c.AttachStdin = true
		case "stdout":
			c.AttachStdout = true
		case "stderr":
			c.AttachStderr = true
		default:
			return f.invalid("attach", name, errors.New("valid streams are STDIN, STDOUT and STDERR"))
		}
	}
	if len(f.attach.values) == 0 {
		c.AttachStdin, c.AttachStdout, c.AttachStderr = f.interactive, true, true
	}
	c.StdinOnce = c.OpenStdin && c.AttachStdin
	return nil
}

func (f *Flags) buildProcess(c *container.Config, h *container.HostConfig) (err error) {
	c.WorkingDir, c.User = f.workdir, f.user
	if f.set.Changed("entrypoint") {
		c.Entrypoint = []string{f.entrypoint} // "" takes the image's away
	}
	if c.Env, err = environment(f.envFile.values, f.env.values, os.LookupEnv); err != nil {
		return err
	}
	c.StopSignal = f.stopSignal
	if f.set.Changed("stop-timeout") {
		c.StopTimeout = &f.stopTimeout
	}
	if f.set.Changed("init") {
		h.Init = &f.init
	}
	h.AutoRemove, h.Runtime = f.remove, f.runtime
	if h.RestartPolicy, err = parseRestart(f.restart); err != nil {
		return f.invalid("restart", f.restart, err)
	}
	if h.AutoRemove && !h.RestartPolicy.IsNone() {
		return errors.New("conflicting options: cannot specify both --restart and --rm")
	}
	return nil
}

func parseRestart(s string) (container.RestartPolicy, error) {
	name, count, hasCount := strings.Cut(s, ":")
	p := container.RestartPolicy{Name: container.RestartPolicyMode(name)}
	if name == "" && s != "" {
		return p, errors.New("the policy is missing before the colon")
	}
	if hasCount {
		n, err := strconv.Atoi(count)
		if err != nil {
			return p, errors.New("maximum retry count must be an integer")
		}
		p.MaximumRetryCount = n
	}
	return p, container.ValidateRestartPolicy(p)
}

func (f *Flags) buildMetadata(c *container.Config, h *container.HostConfig) error {
	labels := []string{}
	for _, file := range f.labelFile.values {
		list, err := readPairs(file, func(string) (string, bool) { return "", true })
		if err != nil {
			return fmt.Errorf("invalid label file %s: %w", file, err)
		}
		labels = append(labels, list...)
	}
	c.Labels = Pairs(append(labels, f.label.values...))
	if len(f.annotation.values) > 0 {
		h.Annotations = Pairs(f.annotation.values)
	}
	if f.logDriver == "none" && len(f.logOpt.values) > 0 {
		return fmt.Errorf("invalid logging opts for driver none: %s", strings.Join(f.logOpt.values, " "))
	}
	h.LogConfig = container.LogConfig{Type: f.logDriver, Config: Pairs(f.logOpt.values)}
	return nil
}

// labelUnhealthy is how the API is told of --restart-unhealthy.
const labelUnhealthy = "berth.restart.unhealthy"

func (f *Flags) buildHealth(c *container.Config, h *container.HostConfig) error {
	test, err := f.health.test()
	if err != nil {
		return err
	}
	o := &f.health
	if o.heal {
		if h.AutoRemove {
			return errors.New("conflicting options: cannot specify both --restart-unhealthy and --rm")
		}
		c.Labels[labelUnhealthy] = "true"
	}
	given := len(test) > 0 || o.interval != 0 || o.timeout != 0 || o.startPeriod != 0 || o.startInterval != 0 || o.retries != 0
	switch {
	case o.none && (given || o.heal):
		return errors.New("--no-healthcheck conflicts with --health-* options")
	case o.none:
		c.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
	case o.interval < 0 || o.timeout < 0 || o.startPeriod < 0 || o.startInterval < 0 || o.retries < 0:
		return errors.New("--health-* options cannot be negative")
	case given:
		c.Healthcheck = &container.HealthConfig{Test: test, Interval: o.interval, Timeout: o.timeout, StartPeriod: o.startPeriod,
			StartInterval: o.startInterval, Retries: o.retries}
	}
	return nil
}

// test is the health check that was asked for; at most one of the kinds may be.
func (h *health) test() ([]string, error) {
	var tests [][]string
	if h.cmd != "" {
		tests = append(tests, []string{"CMD-SHELL", h.cmd})
	}
	if h.http != "" {
		tests = append(tests, append([]string{"HTTP"}, strings.Fields(h.http)...))
	}
	if h.tcp != "" {
		tests = append(tests, []string{"TCP", h.tcp})
	}
	switch len(tests) {
	case 0:
		return nil, nil
	case 1:
		return tests[0], nil
	}
	return nil, errors.New("conflicting options: use one of --health-cmd, --health-http and --health-tcp")
}

func (f *Flags) buildStorage(c *container.Config, h *container.HostConfig) error {
	for _, v := range f.volume.values {
		bind, target, err := ParseVolume(v)
		if err != nil {
			return f.invalid("volume", v, err)
		}
		if bind != "" {
			h.Binds = append(h.Binds, bind)
			continue
		}
		if c.Volumes == nil {
			c.Volumes = map[string]struct{}{}
		}
		c.Volumes[target] = struct{}{}
	}
	for _, v := range f.mount.values {
		m, err := ParseMount(v)
		if err != nil {
			return f.invalid("mount", v, err)
		}
		if ids := mountIDMap(v); ids != "" {
			if h.Annotations == nil {
				h.Annotations = map[string]string{}
			}
			h.Annotations[idMapAnnotation+m.Target] = ids
		}
		h.Mounts = append(h.Mounts, m)
	}
	for _, v := range f.tmpfs.values {
		target, options, _ := strings.Cut(v, ":")
		if err := checkTarget(target); err != nil {
			return f.invalid("tmpfs", v, err)
		}
		if h.Tmpfs == nil {
			h.Tmpfs = map[string]string{}
		}
		h.Tmpfs[target] = options
	}
	h.VolumesFrom, h.VolumeDriver, h.ReadonlyRootfs = f.volumesFrom.values, f.volumeDriver, f.readOnly
	if len(f.storageOpt.values) > 0 {
		h.StorageOpt = Pairs(f.storageOpt.values)
	}
	return nil
}

func (f *Flags) buildPorts(c *container.Config, h *container.HostConfig) error {
	exposed := network.PortSet{}
	for _, v := range f.expose.values {
		ports, err := ParseExpose(v)
		if err != nil {
			return f.invalid("expose", v, err)
		}
		for _, p := range ports {
			exposed[p] = struct{}{}
		}
	}
	bindings := network.PortMap{}
	for _, v := range f.publish.values {
		published, err := ParsePublish(v)
		if err != nil {
			return f.invalid("publish", v, err)
		}
		for _, p := range published {
			exposed[p.Port] = struct{}{}
			if !slices.Contains(bindings[p.Port], p.Binding) {
				bindings[p.Port] = append(bindings[p.Port], p.Binding)
			}
		}
	}
	if len(exposed) > 0 {
		c.ExposedPorts = exposed
	}
	h.PortBindings, h.PublishAllPorts = bindings, f.publishAll
	return nil
}
