// Package show puts records into the shapes of Docker's API: the lines of ps
// and what inspect tells. It is pure.
package show

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/networks"
	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/spec"
)

// Facts are what a record does not say.
type Facts struct {
	Now        time.Time
	Dir        string // of the container's files
	LogPath    string
	ExecIDs    []string
	Health     *api.Health // nil: it is not probed
	Rootfs     *oci.Rootfs // nil: not known
	AppArmor   string      // the profile
	SizeRw     *int64
	SizeRootFs *int64
}

// Summary is the container's line of ps.
func Summary(r *container.Record, f Facts) api.Summary {
	s := api.Summary{
		ID: r.ID, Names: []string{"/" + r.Name}, Image: ImageName(r), ImageID: r.ImageID.String(), Command: command(r.Config),
		Created: r.Created.Unix(), Ports: ports(r), Labels: labels(r.Config.Labels), State: api.ContainerState(r.State.Status),
		Status: StatusText(r.State, f.Now), Mounts: Mounts(r),
		NetworkSettings: &api.NetworkSettingsSummary{Networks: attached(r)},
		Health:          &api.HealthSummary{Status: api.NoHealthcheck},
	}
	if h := f.Health; h != nil && r.State.Status.Alive() {
		s.Health = &api.HealthSummary{Status: h.Status, FailingStreak: h.FailingStreak}
		if r.State.Status == container.Running {
			s.Status += healthText(h.Status)
		}
	}
	s.HostConfig.NetworkMode = string(r.HostConfig.NetworkMode)
	s.HostConfig.Annotations = r.HostConfig.Annotations
	if f.SizeRw != nil {
		s.SizeRw = *f.SizeRw
	}
	if f.SizeRootFs != nil {
		s.SizeRootFs = *f.SizeRootFs
	}
	return s
}

func healthText(s api.HealthStatus) string {
	if s == api.Starting {
		return " (health: starting)"
	}
	return " (" + string(s) + ")"
}

// hostConfig says also what was left to the engine, as Docker does.
func hostConfig(r *container.Record) *api.HostConfig {
	shown := *r.HostConfig
	shown.Runtime = cmp.Or(shown.Runtime, "berth")
	shown.MaskedPaths, shown.ReadonlyPaths = spec.HiddenPaths(r.HostConfig)
	if len(shown.Links) > 0 {
		shown.Links = networks.ShownLinks(r)
	}
	return &shown
}

// ImageName is the reference as the user gave it.
func ImageName(r *container.Record) string {
	if r.Image == "" {
		return r.ImageID.String()
	}
	return r.Image
}

func labels(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func argv(c *api.Config) []string { return slices.Concat(c.Entrypoint, c.Cmd) }

// command quotes the arguments (not the program) as Docker's ps does.
func command(c *api.Config) string {
	words := argv(c)
	for i, w := range words {
		if i > 0 && strings.Contains(w, " ") {
			words[i] = "'" + w + "'"
		}
	}
	return strings.Join(words, " ")
}

// StatusText is the column STATUS: "Up 5 minutes", "Exited (0) 2 hours ago".
func StatusText(s container.State, now time.Time) string {
	since := func(t time.Time) string { return units.HumanDuration(now.Sub(t)) }
	switch s.Status {
	case container.Running:
		return "Up " + since(s.StartedAt)
	case container.Paused:
		return "Up " + since(s.StartedAt) + " (Paused)"
	case container.Restarting:
		return fmt.Sprintf("Restarting (%d) %s ago", s.ExitCode, since(s.FinishedAt))
	case container.Removing:
		return "Removal In Progress"
	case container.Dead:
		return "Dead"
	case container.Created:
		return "Created"
	}
	if s.FinishedAt.IsZero() {
		return fmt.Sprintf("Exited (%d)", s.ExitCode)
	}
	return fmt.Sprintf("Exited (%d) %s ago", s.ExitCode, since(s.FinishedAt))
}

// ports are the published and the exposed ports.
func ports(r *container.Record) []api.PortSummary {
	out := []api.PortSummary{}
	published := map[string]bool{}
	if r.State.Status.Alive() {
		for _, p := range r.Ports() {
			out = append(out, api.PortSummary{IP: p.HostIP, PrivatePort: p.ContainerPort, PublicPort: p.HostPort, Type: p.Proto})
			published[fmt.Sprintf("%d/%s", p.ContainerPort, p.Proto)] = true
		}
	}
	if !r.State.Status.Alive() {
		return out
	}
	for p := range r.Config.ExposedPorts {
		if !published[p.String()] {
			out = append(out, api.PortSummary{PrivatePort: p.Num(), Type: string(p.Proto())})
		}
	}
	slices.SortFunc(out, func(a, b api.PortSummary) int {
		if a.PrivatePort != b.PrivatePort {
			return int(a.PrivatePort) - int(b.PrivatePort)
		}
		return strings.Compare(a.Type+a.IP.String(), b.Type+b.IP.String())
	})
	return out
}

// Mounts are the container's mounts.
func Mounts(r *container.Record) []api.MountPoint {
	out := make([]api.MountPoint, 0, len(r.Mounts))
	for _, m := range r.Mounts {
		p := api.MountPoint{Type: m.Type, Name: m.Name, Source: m.Source, Destination: m.Destination, Driver: m.Driver, Mode: m.Mode, RW: m.RW, Propagation: m.Propagation}
		if m.Type == mount.TypeTmpfs {
			p.Source = ""
		}
		out = append(out, p)
	}
	return out
}

// attached is never nil; it has the endpoints while there are some.
func attached(r *container.Record) map[string]*network.EndpointSettings {
	all := map[string]*network.EndpointSettings{}
	for _, a := range r.Networks {
		all[a.Network] = networks.Settings(r, a, r.State.Status.Alive())
	}
	return all
}

// PortMap is NetworkSettings.Ports: null for an exposed port that is not published.
func PortMap(r *container.Record) network.PortMap {
	m := network.PortMap{}
	if !r.State.Status.Alive() {
		return m
	}
	for p := range r.Config.ExposedPorts {
		m[p] = nil
	}
	for _, p := range r.Ports() {
		if port, ok := network.PortFrom(p.ContainerPort, network.IPProtocol(p.Proto)); ok {
			m[port] = append(m[port], network.PortBinding{HostIP: p.HostIP, HostPort: fmt.Sprint(p.HostPort)})
		}
	}
	return m
}

// Inspect is everything about the container.
func Inspect(r *container.Record, f Facts) api.InspectResponse {
	var program string
	args := []string{}
	if v := argv(r.Config); len(v) > 0 {
		program, args = v[0], append(args, v[1:]...)
	}
	image := r.ImageID.String()
	if image == "" {
		image = r.Image
	}
	i := api.InspectResponse{
		ID: r.ID, Created: r.Created.Format(time.RFC3339Nano), Path: program, Args: args, State: state(r.State, f.Health), Image: image,
		LogPath: f.LogPath,
		Name:    "/" + r.Name, RestartCount: r.RestartCount, Driver: Driver, Platform: "linux", ExecIDs: f.ExecIDs, HostConfig: hostConfig(r),
		Mounts: Mounts(r), Config: config(r), SizeRw: f.SizeRw, SizeRootFs: f.SizeRootFs,
		Storage:         &storage.Storage{RootFS: &storage.RootFSStorage{Snapshot: &storage.RootFSStorageSnapshot{Name: Driver}}},
		NetworkSettings: &api.NetworkSettings{Ports: PortMap(r), Networks: attached(r)},
		GraphDriver:     graph(f.Rootfs),
		AppArmorProfile: f.AppArmor,
	}
	if !r.State.StartedAt.IsZero() { // they are written by each start
		i.ResolvConfPath, i.HostnamePath, i.HostsPath = f.Dir+"/resolv.conf", f.Dir+"/hostname", f.Dir+"/hosts"
	}
	if r.State.Status.Alive() {
		i.NetworkSettings.SandboxKey = fmt.Sprintf("/proc/%d/ns/net", r.State.Pid)
		if ends := r.Endpoints(); len(ends) > 0 {
			i.NetworkSettings.SandboxID = ends[0].ID
		}
	}
	return i
}

// Driver is how root filesystems are made.
const Driver = "overlayfs"

func graph(fs *oci.Rootfs) *storage.DriverData {
	d := &storage.DriverData{Name: Driver, Data: map[string]string{}}
	if fs != nil {
		d.Data["LowerDir"] = strings.Join(fs.Lowers, ":")
		d.Data["UpperDir"] = fs.Upper
		d.Data["WorkDir"] = fs.Work
	}
	return d
}

func state(s container.State, health *api.Health) *api.State {
	restarting := s.Status == container.Restarting
	return &api.State{
		Status: api.ContainerState(s.Status), Running: s.Status.Alive() || restarting, Paused: s.Status == container.Paused,
		Restarting: restarting, OOMKilled: s.OOMKilled, Dead: s.Status == container.Dead, Pid: s.Pid, ExitCode: s.ExitCode, Error: s.Error,
		StartedAt: s.StartedAt.Format(time.RFC3339Nano), FinishedAt: s.FinishedAt.Format(time.RFC3339Nano), Health: health,
	}
}

// config has no null where a client expects a map or a list.
func config(r *container.Record) *api.Config {
	c := *r.Config
	c.Labels = labels(c.Labels)
	if c.Env == nil {
		c.Env = []string{}
	}
	return &c
}
