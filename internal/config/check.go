package config

import (
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/berth-containers/berth/internal/engine/logging"
	"github.com/berth-containers/berth/internal/image/reclaim"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
)

// levels are the values of log-level.
var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

func (r *raw) check(s sources, groupGiven bool) (c Config, err error) {
	c = Config{Group: r.group, TLS: r.tls, UsernsRemap: r.usernsRemap}
	c.GroupGiven = groupGiven || s["group"] != ""
	if c.DataRoot, err = directory(s.of("data-root"), r.dataRoot); err != nil {
		return c, err
	}
	if c.ExecRoot, err = directory(s.of("exec-root"), r.execRoot); err != nil {
		return c, err
	}
	if c.DataRoot == c.ExecRoot {
		return c, invalid("%s: %s is the data root too: use two directories", s.of("exec-root"), c.ExecRoot)
	}
	if c.LogLevel, err = r.level(s); err != nil {
		return c, err
	}
	if c.BridgeSubnet, err = r.subnet(s); err != nil {
		return c, err
	}
	if c.CgroupParent, err = cgroup(s.of("cgroup-parent"), r.cgroupParent); err != nil {
		return c, err
	}
	if r.pidFile != "" {
		if c.PidFile, err = filepath.Abs(r.pidFile); err != nil {
			return c, invalid("%s: %v", s.of("pidfile"), err)
		}
	}
	if c.Hosts, err = r.checkHosts(s, c.ExecRoot); err != nil {
		return c, err
	}
	for _, dir := range r.cdiDirs {
		if dir, err = directory(s.of("cdi-spec-dir"), dir); err != nil {
			return c, err
		}
		c.CDISpecDirs = append(c.CDISpecDirs, dir)
	}
	if err := r.checkLog(s, &c); err != nil {
		return c, err
	}
	c.Labels = r.labels
	for _, label := range r.labels {
		if name, _, ok := strings.Cut(label, "="); !ok || name == "" {
			return c, invalid("%s: %q is not NAME=VALUE", s.of("label"), label)
		}
	}
	if c.MetricsAddr = r.metricsAddr; c.MetricsAddr != "" {
		if _, port, err := net.SplitHostPort(c.MetricsAddr); err != nil || port == "" {
			return c, invalid("%s: %q needs an address and a port, such as 127.0.0.1:9323", s.of("metrics-addr"), c.MetricsAddr)
		}
	}
	if c.ImageGC, err = r.checkMarks(s); err != nil {
		return c, err
	}
	if c.LayerLimit, err = units.RAMInBytes(r.layerLimit); err != nil || c.LayerLimit <= 0 {
		return c, invalid("%s: %q is not a size, such as 100GB", s.of("image-layer-limit"), r.layerLimit)
	}
	c.BuildAny = r.buildAny
	if r.buildCache != "" {
		if c.BuildCache, err = units.RAMInBytes(r.buildCache); err != nil || c.BuildCache <= 0 {
			return c, invalid("%s: %q is not a size, such as 20GB", s.of("build-cache-max"), r.buildCache)
		}
	}
	c.Registries, err = r.checkRegistries(s)
	return c, err
}

func (r *raw) checkLog(s sources, c *Config) error {
	c.LogDriver, c.LogOpts = r.logDriver, map[string]string{}
	for _, text := range r.logOpts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return invalid("%s: %q is not NAME=VALUE", s.of("log-opt"), text)
		}
		c.LogOpts[name] = value
	}
	shown, _ := logging.Default{Driver: c.LogDriver, Opts: c.LogOpts}.Choose(container.LogConfig{})
	if err := logging.Check(shown); err != nil {
		return invalid("%s: %v", s.of("log-driver"), err)
	}
	return nil
}

func (r *raw) checkMarks(s sources) (reclaim.Marks, error) {
	high, err := reclaim.ParseMark(r.gcHigh)
	if err != nil {
		return reclaim.Marks{}, invalid("%s: %v", s.of("image-gc-high"), err)
	}
	low, err := reclaim.ParseMark(r.gcLow)
	if err != nil {
		return reclaim.Marks{}, invalid("%s: %v", s.of("image-gc-low"), err)
	}
	m, err := reclaim.WithLow(high, low)
	if err != nil {
		return m, invalid("%s: %v", s.of("image-gc-low"), err)
	}
	return m, nil
}

func directory(source, path string) (string, error) {
	if path == "" {
		return "", invalid("%s: the path is empty", source)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", invalid("%s: %v", source, err)
	}
	if abs == "/" {
		return "", invalid("%s: / cannot be the engine's directory: use one of its own", source)
	}
	return abs, nil
}

func (r *raw) level(s sources) (slog.Level, error) {
	level, ok := levels[r.logLevel]
	if !ok {
		return 0, invalid("%s: %q is not one of debug, info, warn, error", s.of("log-level"), r.logLevel)
	}
	if r.debug {
		return slog.LevelDebug, nil
	}
	return level, nil
}

// subnet has room for the bridge and at least one container.
func (r *raw) subnet(s sources) (netip.Prefix, error) {
	if r.bridgeSubnet == "" {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(r.bridgeSubnet)
	if err != nil || !p.Addr().Is4() || p.Bits() < 8 || p.Bits() > 30 {
		return p, invalid("%s: %q is not an IPv4 subnet from /8 to /30, such as 172.30.0.0/16", s.of("bridge-subnet"), r.bridgeSubnet)
	}
	return p.Masked(), nil
}

func cgroup(source, path string) (string, error) {
	if !strings.HasPrefix(path, "/") || path == "/" || filepath.Clean(path) != path {
		return "", invalid("%s: %q is not a path below the root of the cgroups, such as /berth", source, path)
	}
	return path, nil
}

func (r *raw) checkHosts(s sources, execRoot string) ([]string, error) {
	if len(r.hosts) == 0 {
		return []string{"unix://" + filepath.Join(execRoot, "berth.sock")}, nil
	}
	for _, h := range r.hosts {
		if err := r.checkHost(s, h); err != nil {
			return nil, err
		}
	}
	return r.hosts, nil
}

func (r *raw) checkHost(s sources, host string) error {
	scheme, rest, _ := strings.Cut(host, "://")
	switch {
	case scheme == "unix" && filepath.IsAbs(rest), scheme == "fd":
		return nil
	case scheme == "unix":
		return invalid("%s: %q needs an absolute path, such as unix:///run/berth/berth.sock", s.of("host"), host)
	case scheme != "tcp":
		return invalid("%s: %q is none of unix://PATH, tcp://ADDRESS:PORT, fd://", s.of("host"), host)
	}
	if _, port, err := net.SplitHostPort(rest); err != nil || port == "" {
		return invalid("%s: %q needs an address and a port, such as tcp://0.0.0.0:2376", s.of("host"), host)
	}
	if !r.tls.Verify {
		return invalid("%s: %q would let anyone who reaches the port be root: use --tlsverify with --tlscacert, --tlscert and --tlskey", s.of("host"), host)
	}
	for flag, file := range map[string]string{"tlscacert": r.tls.CA, "tlscert": r.tls.Cert, "tlskey": r.tls.Key} {
		if file == "" {
			return invalid("%s: %q needs the file --%s", s.of("host"), host, flag)
		}
	}
	return nil
}

func (r *raw) checkRegistries(s sources) (registries.Table, error) {
	t, err := r.registries.With(r.insecure, nil)
	if err != nil {
		return t, invalid("%s: %v", s.of("insecure-registry"), err)
	}
	if t, err = t.With(nil, r.mirrors); err != nil {
		return t, invalid("%s: %v", s.of("registry-mirror"), err)
	}
	return t, nil
}
