// Package query reads the parameters of Docker's POST /build and says what they
// mean to BuildKit's Dockerfile frontend. It is pure.
package query

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/build/exporter"
	"github.com/berth-containers/berth/internal/build/flat"
)

// Output is where the result goes to, as clients of version 2 say.
type Output struct {
	Type  string
	Attrs map[string]string
}

// Options are the parameters of a build.
type Options struct {
	Version    build.BuilderVersion
	Dockerfile string
	Remote     string // an address, or "client-session"
	Session    string
	BuildID    string
	Tags       []string
	Target     string
	Platform   string
	Network    string
	Args       map[string]*string
	Labels     map[string]string
	CacheFrom  []string
	ExtraHosts []string
	Ulimits    []*container.Ulimit
	Outputs    []Output
	ShmBytes   int64
	Limits     Limits
	Quiet      bool
	NoCache    bool
	Pull       bool
	Squash     bool
}

// Limits of the steps of a build.
type Limits struct {
	CgroupParent                           string
	MemoryBytes, SwapBytes                 int64
	CPUShares, CPUPeriodUsec, CPUQuotaUsec int64
	CPUs, Mems                             string
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// Parse reads the parameters; InvalidArgument names the one that is wrong.
func Parse(q url.Values) (Options, error) {
	o := Options{
		Version: build.BuilderV1, Dockerfile: q.Get("dockerfile"), Remote: q.Get("remote"), Session: q.Get("session"), BuildID: q.Get("buildid"),
		Tags: q["t"], Target: q.Get("target"), Platform: q.Get("platform"), Network: q.Get("networkmode"), ExtraHosts: q["extrahosts"],
		Quiet: Truth(q.Get("q")), NoCache: Truth(q.Get("nocache")), Pull: Truth(q.Get("pull")), Squash: Truth(q.Get("squash")),
		Limits: Limits{CgroupParent: q.Get("cgroupparent"), CPUs: q.Get("cpusetcpus"), Mems: q.Get("cpusetmems")},
	}
	if v := build.BuilderVersion(q.Get("version")); v != "" {
		if v != build.BuilderV1 && v != build.BuilderBuildKit {
			return o, invalid("invalid version %q", v)
		}
		o.Version = v
	}
	if len(q["securityopt"]) > 0 {
		return o, invalid("security options are not supported on linux")
	}
	if i := container.Isolation(q.Get("isolation")); !i.IsDefault() {
		return o, invalid("unsupported isolation: %q", i)
	}
	for _, n := range []struct {
		name string
		into *int64
	}{
		{"shmsize", &o.ShmBytes}, {"memory", &o.Limits.MemoryBytes}, {"memswap", &o.Limits.SwapBytes}, {"cpushares", &o.Limits.CPUShares},
		{"cpuperiod", &o.Limits.CPUPeriodUsec}, {"cpuquota", &o.Limits.CPUQuotaUsec},
	} {
		text := q.Get(n.name)
		if text == "" {
			continue
		}
		var err error
		if *n.into, err = strconv.ParseInt(text, 10, 64); err != nil {
			return o, invalid("parameter %s: %q is not a number", n.name, text)
		}
	}
	for _, j := range []struct {
		name string
		into any
	}{
		{"ulimits", &o.Ulimits}, {"buildargs", &o.Args}, {"labels", &o.Labels}, {"cachefrom", &o.CacheFrom}, {"outputs", &o.Outputs},
	} {
		text := q.Get(j.name)
		if text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(text), j.into); err != nil {
			return o, invalid("parameter %s: %v", j.name, err)
		}
	}
	return o, o.check()
}

func (o *Options) check() error {
	if o.Platform != "" {
		if _, err := platforms.Parse(o.Platform); err != nil {
			return invalid("invalid platform %q: %v", o.Platform, err)
		}
	}
	if len(o.Outputs) > 1 {
		return invalid("multiple outputs are not supported here; docker buildx has them")
	}
	o.Tags = slices.DeleteFunc(o.Tags, func(t string) bool { return t == "" })
	if _, err := exporter.Names(strings.Join(o.Tags, ",")); err != nil {
		return invalid("%v", err)
	}
	return nil
}

// Truth is Docker's: everything but "", 0, no, false and none is true.
func Truth(text string) bool {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// Solve is the request that the parameters mean. gateway is the host's address
// on the bridge, for host-gateway.
func (o *Options) Solve(gateway string) (*controlapi.SolveRequest, error) {
	attrs := map[string]string{"image-resolve-mode": "local"}
	set := func(name, value string) {
		if value != "" {
			attrs[name] = value
		}
	}
	set("target", o.Target)
	set("platform", o.Platform)
	set("cache-from", strings.Join(o.CacheFrom, ","))
	set("cgroup-parent", o.Limits.CgroupParent)
	if o.Dockerfile != "." {
		set("filename", o.Dockerfile)
	}
	if o.Remote != "client-session" {
		set("context", o.Remote)
	}
	if o.Pull {
		attrs["image-resolve-mode"] = "pull"
	}
	if o.NoCache {
		attrs["no-cache"] = ""
	}
	set("cpusetcpus", o.Limits.CPUs)
	set("cpusetmems", o.Limits.Mems)
	for name, n := range map[string]int64{
		"shm-size": o.ShmBytes, "memory": o.Limits.MemoryBytes, "memswap": o.Limits.SwapBytes,
		"cpushares": o.Limits.CPUShares, "cpuperiod": o.Limits.CPUPeriodUsec, "cpuquota": o.Limits.CPUQuotaUsec,
	} {
		if n != 0 {
			attrs[name] = strconv.FormatInt(n, 10)
		}
	}
	for name, value := range o.Args {
		if value != nil {
			attrs["build-arg:"+name] = *value
		}
	}
	for name, value := range o.Labels {
		attrs["label:"+name] = value
	}
	hosts, err := extraHosts(o.ExtraHosts, gateway)
	if err != nil {
		return nil, err
	}
	set("add-hosts", hosts)
	var limits []string
	for _, u := range o.Ulimits {
		if u != nil {
			limits = append(limits, u.String())
		}
	}
	set("ulimit", strings.Join(limits, ","))
	req := &controlapi.SolveRequest{Frontend: "dockerfile.v0", FrontendAttrs: attrs, Session: o.Session, Cache: &controlapi.CacheOptions{}}
	switch o.Network {
	case "", "default", "bridge":
	case "none", "host":
		attrs["force-network-mode"] = o.Network
		if o.Network == "host" {
			req.Entitlements = []string{string(entitlements.EntitlementNetworkHost)}
		}
	default:
		return nil, invalid("network mode %q not supported by buildkit", o.Network)
	}
	if inline := o.Args["BUILDKIT_INLINE_CACHE"]; inline != nil && Truth(*inline) {
		req.Cache.Exports = append(req.Cache.Exports, &controlapi.CacheOptionsEntry{Type: "inline"})
	}
	if e := o.exporter(); e != nil {
		req.Exporters = []*controlapi.Exporter{e}
	}
	return req, nil
}

// exporter is nil if only the cache is to be filled.
func (o *Options) exporter() *controlapi.Exporter {
	e := &controlapi.Exporter{Type: exporter.Name, Attrs: map[string]string{}}
	if len(o.Outputs) == 1 {
		if o.Outputs[0].Type == "cacheonly" {
			return nil
		}
		e.Type = o.Outputs[0].Type
		for name, value := range o.Outputs[0].Attrs {
			e.Attrs[name] = value
		}
	}
	if o.Squash {
		e.Attrs[flat.Option] = "true"
	}
	if len(o.Tags) > 0 && (e.Type == exporter.Name || e.Type == client.ExporterImage) {
		e.Attrs[string(exptypes.OptKeyName)] = strings.Join(o.Tags, ",")
	}
	return e
}

// extraHosts are --add-host values, "name:address" or "name=address", as
// BuildKit has them.
func extraHosts(list []string, gateway string) (string, error) {
	var out []string
	for _, h := range list {
		name, address, ok := strings.Cut(h, "=")
		if !ok {
			name, address, ok = strings.Cut(h, ":")
		}
		if !ok || name == "" || address == "" {
			return "", invalid("invalid host %s", h)
		}
		if address == "host-gateway" {
			if address = gateway; gateway == "" {
				return "", invalid("unable to derive the IP value for host-gateway")
			}
		}
		ip, err := netip.ParseAddr(strings.Trim(address, "[]"))
		if err != nil {
			return "", invalid("invalid host %s: %q is not an address", h, address)
		}
		out = append(out, name+"="+ip.String())
	}
	return strings.Join(out, ","), nil
}
