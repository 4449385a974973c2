// Package mounts reads what a container mounts besides its root filesystem out
// of Docker's ways to say it: -v, --mount, VOLUME, --volumes-from. It is pure:
// it makes no volume and looks at no path.
package mounts

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/names"
	"github.com/berth-containers/berth/internal/volume"
)

// Plan is a mount to make: the Source of a volume is not known yet.
type Plan struct {
	container.Mount
	Labels map[string]string // of the volume, if it is made
	// CreateSource makes a missing directory of a bind, as -v does.
	CreateSource bool
	// Inherited came by --volumes-from: Source is known already.
	Inherited bool
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// Read returns the mounts in the order in which they must be made. from looks up
// the containers of --volumes-from.
func Read(c *api.Config, h *api.HostConfig, from func(ref string) (*container.Record, error)) ([]Plan, error) {
	var plans []Plan
	for _, spec := range h.VolumesFrom {
		inherited, err := inherit(spec, from)
		if err != nil {
			return nil, err
		}
		for _, p := range inherited {
			plans = replace(plans, p)
		}
	}
	own := map[string]bool{}
	asked, err := explicit(h)
	if err != nil {
		return nil, err
	}
	for _, p := range asked {
		if own[p.Destination] {
			return nil, invalid("Duplicate mount point: %s", p.Destination)
		}
		own[p.Destination] = true
		plans = replace(plans, p)
	}
	for dst := range h.Tmpfs {
		own[path.Clean(dst)] = true
	}
	for dst := range c.Volumes {
		p, err := anonymous(dst)
		if err != nil {
			return nil, err
		}
		if !own[p.Destination] && !slices.ContainsFunc(plans, func(o Plan) bool { return o.Destination == p.Destination }) {
			plans = append(plans, p)
		}
	}
	// A mount below another must come after it.
	slices.SortStableFunc(plans, func(a, b Plan) int { return strings.Compare(a.Destination, b.Destination) })
	return plans, nil
}

func replace(plans []Plan, p Plan) []Plan {
	plans = slices.DeleteFunc(plans, func(o Plan) bool { return o.Destination == p.Destination })
	return append(plans, p)
}

func explicit(h *api.HostConfig) ([]Plan, error) {
	var plans []Plan
	for _, spec := range h.Binds {
		p, err := Bind(spec)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	for _, m := range h.Mounts {
		p, err := fromMount(m)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	return plans, nil
}

func inherit(spec string, from func(string) (*container.Record, error)) ([]Plan, error) {
	ref, mode, hasMode := strings.Cut(spec, ":")
	if ref == "" || hasMode && mode != "ro" && mode != "rw" && mode != "z" && mode != "Z" {
		return nil, invalid("invalid volumes-from specification: %q", spec)
	}
	r, err := from(ref)
	if err != nil {
		return nil, err
	}
	var plans []Plan
	for _, m := range r.Mounts {
		if m.Type == mount.TypeTmpfs {
			continue
		}
		m.Anonymous = false // it goes with its first owner
		if mode == "ro" {
			m.RW, m.Mode = false, "ro"
		}
		plans = append(plans, Plan{Mount: m, Inherited: true})
	}
	return plans, nil
}

func anonymous(dst string) (Plan, error) {
	if err := checkTarget(dst); err != nil {
		return Plan{}, err
	}
	return Plan{
		Mount: container.Mount{
			Type: mount.TypeVolume, Name: names.NewID(), Destination: path.Clean(dst), RW: true,
			Driver: volume.Driver, Anonymous: true,
		},
		Labels: map[string]string{volume.AnonymousLabel: ""},
	}, nil
}

func checkTarget(dst string) error {
	if !path.IsAbs(dst) {
		return invalid("invalid mount path: '%s' mount path must be absolute", dst)
	}
	if path.Clean(dst) == "/" {
		return invalid("invalid specification: destination can't be '/'")
	}
	if strings.ContainsRune(dst, 0) {
		return invalid("a mount path contains a zero byte")
	}
	return nil
}

// Bind reads one -v: src:dst[:options], name:dst[:options] or /dst.
func Bind(spec string) (Plan, error) {
	parts := strings.Split(spec, ":")
	switch {
	case len(parts) == 1:
		return anonymous(parts[0])
	case len(parts) > 3 || parts[0] == "" || parts[1] == "":
		return Plan{}, invalid("invalid volume specification: '%s'", spec)
	case len(parts) == 2:
		parts = append(parts, "")
	}
	src, dst, mode := parts[0], parts[1], parts[2]
	if err := checkTarget(dst); err != nil {
		return Plan{}, err
	}
	m := container.Mount{Destination: path.Clean(dst), Mode: mode, RW: true}
	if path.IsAbs(src) {
		m.Type, m.Source, m.Propagation = mount.TypeBind, path.Clean(src), mount.PropagationRPrivate
		m.Bind = &mount.BindOptions{}
	} else {
		if err := volume.CheckName(src); err != nil {
			return Plan{}, err
		}
		m.Type, m.Name, m.Driver = mount.TypeVolume, src, volume.Driver
		if mode == "" {
			m.Mode = "z"
		}
	}
	if err := options(&m, mode); err != nil {
		return Plan{}, err
	}
	return Plan{Mount: m, CreateSource: m.Type == mount.TypeBind}, nil
}

func options(m *container.Mount, mode string) error {
	if mode == "" {
		return nil
	}
	seen := map[string]bool{}
	for o := range strings.SplitSeq(mode, ",") {
		kind := o
		switch o {
		case "ro", "rw":
			m.RW, kind = o == "rw", "access"
		case "z", "Z":
			kind = "label"
		case "private", "rprivate", "shared", "rshared", "slave", "rslave":
			if m.Type != mount.TypeBind {
				return invalid("invalid mode: %s", mode)
			}
			m.Propagation, kind = mount.Propagation(o), "propagation"
		case "nocopy":
			if m.Type != mount.TypeVolume {
				return invalid("invalid mode: %s", mode)
			}
			m.NoCopy = true
		case "consistent", "cached", "delegated":
			kind = "consistency"
		default:
			return invalid("invalid mode: %s", mode)
		}
		if seen[kind] {
			return invalid("invalid mode: %s", mode)
		}
		seen[kind] = true
	}
	return nil
}

func fromMount(m mount.Mount) (Plan, error) {
	p, err := readMount(m)
	if err != nil {
		return Plan{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid mount config for type %q: %s", m.Type, err))
	}
	return p, nil
}

func readMount(m mount.Mount) (Plan, error) {
	if m.Target == "" {
		return Plan{}, invalid("field Target must not be empty")
	}
	if err := checkTarget(m.Target); err != nil {
		return Plan{}, err
	}
	p := Plan{Mount: container.Mount{Type: m.Type, Destination: path.Clean(m.Target), RW: !m.ReadOnly}}
	var err error
	switch m.Type {
	case mount.TypeBind:
		err = readBind(m, &p)
	case mount.TypeVolume:
		err = readVolume(m, &p)
	case mount.TypeTmpfs:
		err = readTmpfs(m, &p)
	default:
		err = invalid("mount type unknown; use bind, volume or tmpfs")
	}
	return p, err
}

func readBind(m mount.Mount, p *Plan) error {
	switch {
	case m.VolumeOptions != nil || m.TmpfsOptions != nil:
		return invalid("only bind options go with this type")
	case m.Source == "":
		return invalid("field Source must not be empty")
	case !path.IsAbs(m.Source):
		return invalid("invalid mount path: '%s' mount path must be absolute", m.Source)
	}
	o := mount.BindOptions{}
	if m.BindOptions != nil {
		o = *m.BindOptions
	}
	p.Propagation = mount.PropagationRPrivate
	if o.Propagation != "" {
		if !slices.Contains(mount.Propagations, o.Propagation) {
			return invalid("invalid propagation mode: %s", o.Propagation)
		}
		p.Propagation = o.Propagation
	}
	p.Source, p.Bind, p.CreateSource = path.Clean(m.Source), &o, o.CreateMountpoint
	return nil
}

func readVolume(m mount.Mount, p *Plan) error {
	if m.BindOptions != nil || m.TmpfsOptions != nil {
		return invalid("only volume options go with this type")
	}
	p.Name, p.Driver, p.Mode = m.Source, volume.Driver, "z"
	if o := m.VolumeOptions; o != nil {
		if o.Subpath != "" {
			return invalid("a subpath of a volume is not supported; mount the whole volume")
		}
		if d := o.DriverConfig; d != nil && (d.Name != "" && d.Name != volume.Driver || len(d.Options) > 0) {
			return invalid("the only volume driver is local, without options")
		}
		p.Labels, p.NoCopy = o.Labels, o.NoCopy
	}
	if m.Source == "" {
		a, err := anonymous(m.Target)
		if err != nil {
			return err
		}
		p.Name, p.Anonymous = a.Name, true
		if p.Labels == nil {
			p.Labels = a.Labels
		}
		return nil
	}
	return volume.CheckName(m.Source)
}

func readTmpfs(m mount.Mount, p *Plan) error {
	switch {
	case m.Source != "":
		return invalid("field Source must not be specified")
	case m.BindOptions != nil || m.VolumeOptions != nil:
		return invalid("only tmpfs options go with this type")
	}
	o := mount.TmpfsOptions{}
	if m.TmpfsOptions != nil {
		o = *m.TmpfsOptions
	}
	if o.SizeBytes < 0 {
		return invalid("the size must not be negative")
	}
	p.Tmpfs = &o
	return nil
}
