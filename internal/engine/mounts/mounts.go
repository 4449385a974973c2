// Package mounts reads what a container mounts besides its root filesystem out
// of Docker's ways to say it: -v, --mount, VOLUME, --volumes-from. It is pure:
// it makes no volume and looks at no path.
package mounts

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
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
	Labels, Options map[string]string // of the volume, if it is made
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
	if err == nil {
		err = idMaps(asked, h.Annotations)
	}
	if err != nil {
		return nil, err
	}
	tmpfs := map[string]bool{}
	for dst := range h.Tmpfs {
		tmpfs[path.Clean(dst)] = true
	}
	for _, p := range asked {
		if own[p.Destination] || tmpfs[p.Destination] {
			return nil, invalid("Duplicate mount point: %s", p.Destination)
		}
		own[p.Destination] = true
		plans = replace(plans, p)
	}
	maps.Copy(own, tmpfs)
	for dst := range c.Volumes {
		p, err := anonymous(dst)
		if err == nil {
			err = driver(h.VolumeDriver)
		}
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

// Added are the mounts that a container gets later.
func Added(list []mount.Mount) ([]Plan, error) {
	plans, err := explicit(&api.HostConfig{Mounts: list})
	for i, p := range plans {
		if err == nil && slices.ContainsFunc(plans[:i], func(o Plan) bool { return o.Destination == p.Destination }) {
			err = invalid("Duplicate mount point: %s", p.Destination)
		}
		if err == nil && p.Type == mount.TypeImage {
			err = invalid("an image can be mounted at %s only when the container is created", p.Destination)
		}
	}
	return plans, err
}

// driver refuses one that there is not. It is not of the kind NotFound: a client
// would pull the image.
func driver(name string) error {
	if err := volume.CheckDriver(name); err != nil {
		return noDriver{errdefs.ErrInvalidArgument.WithMessage(err.Error())}
	}
	return nil
}

// noDriver is told without the mount that asks for it, as Docker does.
type noDriver struct{ error }

func (e noDriver) Unwrap() error { return e.error }

func replace(plans []Plan, p Plan) []Plan {
	plans = slices.DeleteFunc(plans, func(o Plan) bool { return o.Destination == p.Destination })
	return append(plans, p)
}

func explicit(h *api.HostConfig) ([]Plan, error) {
	var plans []Plan
	for _, spec := range h.Binds {
		p, err := Bind(spec)
		if err == nil && p.Type == mount.TypeVolume && h.VolumeDriver != "" {
			p.Driver, err = h.VolumeDriver, driver(h.VolumeDriver)
		}
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
	ref, mode, _ := strings.Cut(spec, ":")
	if spec == "" {
		return nil, invalid("volumes-from specification cannot be an empty string")
	}
	// Propagation and nocopy come with the volume.
	var given container.Mount
	if err := options(&given, mode); err != nil || given.Propagation != "" || given.NoCopy {
		return nil, invalid("invalid mode: %s", mode)
	}
	r, err := from(ref)
	if err != nil {
		// Not of the kind NotFound: a client would pull the image.
		return nil, invalid("%s", err)
	}
	readOnly := slices.Contains(strings.Split(mode, ","), "ro")
	var plans []Plan
	for _, m := range r.Mounts {
		if m.Type == mount.TypeTmpfs {
			continue
		}
		m.Anonymous, m.NoCopy = false, true // it goes with its first owner, who has filled it
		m.Mode = ""
		if readOnly {
			m.RW = false
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
	m := container.Mount{Type: mount.TypeVolume, Destination: path.Clean(dst), Mode: mode, RW: true}
	if path.IsAbs(src) {
		m.Type, m.Source, m.Propagation = mount.TypeBind, path.Clean(src), mount.PropagationRPrivate
		m.Bind = &mount.BindOptions{}
	}
	if err := options(&m, mode); err != nil {
		return Plan{}, err
	}
	err := checkTarget(dst)
	if err == nil && strings.ContainsRune(src, 0) {
		err = invalid("a mount path contains a zero byte")
	}
	if err == nil {
		err = misplaced(m)
	}
	if err != nil {
		return Plan{}, invalid("invalid volume specification: '%s': invalid mount config for type %q: %s", spec, m.Type, err)
	}
	if m.Type == mount.TypeVolume {
		if err := volume.CheckName(src); err != nil {
			return Plan{}, err
		}
		m.Name, m.Driver = src, volume.Driver
		if mode == "" {
			m.Mode = "z"
		}
	}
	return Plan{Mount: m, CreateSource: m.Type == mount.TypeBind}, nil
}

// misplaced refuses modes that belong to another type.
func misplaced(m container.Mount) error {
	switch {
	case m.Type == mount.TypeVolume && m.Propagation != "":
		return extra("BindOptions")
	case m.Type == mount.TypeBind && m.NoCopy:
		return extra("VolumeOptions")
	}
	return nil
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
			m.Propagation, kind = mount.Propagation(o), "propagation"
			if m.Bind != nil {
				m.Bind.Propagation = m.Propagation
			}
		case "nocopy":
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
	if errors.As(err, &noDriver{}) {
		return Plan{}, err
	}
	if err != nil {
		return Plan{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid mount config for type %q: %s", m.Type, err))
	}
	return p, nil
}

func readMount(m mount.Mount) (Plan, error) {
	if err := exclusive(m); err != nil {
		return Plan{}, err
	}
	if m.Target == "" {
		return Plan{}, missing("Target")
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
	case mount.TypeImage:
		err = readImage(m, &p)
	default:
		err = invalid("mount type unknown")
	}
	if err == nil && !slices.Contains([]mount.Consistency{"", mount.ConsistencyDefault, mount.ConsistencyFull, mount.ConsistencyCached, mount.ConsistencyDelegated}, m.Consistency) {
		err = invalid("invalid consistency: %s", m.Consistency)
	}
	return p, err
}

func missing(field string) error { return invalid("field %s must not be empty", field) }
func extra(field string) error   { return invalid("field %s must not be specified", field) }

// exclusive refuses options of another type.
func exclusive(m mount.Mount) error {
	for _, o := range []struct {
		given bool
		of    mount.Type
		field string
	}{
		{m.BindOptions != nil, mount.TypeBind, "BindOptions"}, {m.VolumeOptions != nil, mount.TypeVolume, "VolumeOptions"},
		{m.ImageOptions != nil, mount.TypeImage, "ImageOptions"}, {m.TmpfsOptions != nil, mount.TypeTmpfs, "TmpfsOptions"},
		{m.ClusterOptions != nil, mount.TypeCluster, "ClusterOptions"},
	} {
		if o.given && m.Type != o.of {
			return extra(o.field)
		}
	}
	return nil
}

func readBind(m mount.Mount, p *Plan) error {
	switch {
	case m.Source == "":
		return missing("Source")
	case !path.IsAbs(m.Source):
		return invalid("invalid mount path: '%s' mount path must be absolute", m.Source)
	case strings.ContainsRune(m.Source, 0):
		return invalid("a mount path contains a zero byte")
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
	return readOnlyBelow(o, m.ReadOnly)
}

// readOnlyBelow refuses what contradicts itself about the mounts below a bind.
func readOnlyBelow(o mount.BindOptions, readOnly bool) error {
	switch {
	case !readOnly && o.ReadOnlyNonRecursive:
		return invalid("mount options conflict: !ReadOnly && BindOptions.ReadOnlyNonRecursive")
	case !readOnly && o.ReadOnlyForceRecursive:
		return invalid("mount options conflict: !ReadOnly && BindOptions.ReadOnlyForceRecursive")
	case o.ReadOnlyNonRecursive && o.ReadOnlyForceRecursive:
		return invalid("mount options conflict: ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive")
	case o.NonRecursive && o.ReadOnlyForceRecursive:
		return invalid("mount options conflict: BindOptions.NonRecursive && BindOptions.ReadOnlyForceRecursive")
	}
	return nil
}

// subpath checks the form; where it leads is found out when it is mounted.
func subpath(text string) error {
	if text != "" && !filepath.IsLocal(text) || strings.ContainsRune(text, 0) {
		return invalid("subpath must be a relative path within the volume")
	}
	return nil
}

func readVolume(m mount.Mount, p *Plan) error {
	p.Name, p.Driver, p.Mode = m.Source, volume.Driver, "z"
	if o := m.VolumeOptions; o != nil {
		if o.Subpath != "" && m.Source == "" {
			return invalid("must not set Subpath when using anonymous volumes")
		}
		if err := subpath(o.Subpath); err != nil {
			return err
		}
		p.Labels, p.NoCopy, p.Subpath = o.Labels, o.NoCopy, o.Subpath
		if d := o.DriverConfig; d != nil {
			p.Options = d.Options
			if err := driver(d.Name); err != nil {
				return err
			}
		}
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

func readImage(m mount.Mount, p *Plan) error {
	if m.Source == "" {
		return missing("Source")
	}
	p.Name, p.RW, p.Propagation = m.Source, false, mount.PropagationRPrivate
	if o := m.ImageOptions; o != nil {
		p.Subpath = o.Subpath
		return subpath(o.Subpath)
	}
	return nil
}

func readTmpfs(m mount.Mount, p *Plan) error {
	if m.Source != "" {
		return extra("Source")
	}
	o := mount.TmpfsOptions{}
	if m.TmpfsOptions != nil {
		o = *m.TmpfsOptions
	}
	if o.SizeBytes < 0 {
		return invalid("the size must not be negative")
	}
	for _, pair := range o.Options {
		if len(pair) < 1 || len(pair) > 2 {
			return invalid("invalid option array length")
		}
		if pair[0] != "exec" && pair[0] != "noexec" {
			return invalid("invalid option: %s", pair[0])
		}
	}
	p.Tmpfs = &o
	return nil
}
