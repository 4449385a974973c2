package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/report"
	"github.com/berth-containers/berth/internal/sys/mount"
	"github.com/containerd/errdefs"
)

const (
	viewSource = "berth-image" // of the mounts, in the table of mounts
	factImage  = "berth.image"
	factID     = "berth.id"
)

// Mount shows the root filesystem of an image, read-only, at a directory that
// is there and empty, or with "" at a new one below the data root. The layers
// stay until Unmount, also if the image goes. After a crash of the engine the
// mount is as it was; after one of the machine there is none.
func (s examiner) Mount(ctx context.Context, ref, dir string) (report.Mounted, error) {
	ctx, done, err := s.depot.Lease(s.depot.Scope(ctx))
	if err != nil {
		return report.Mounted{}, err
	}
	defer done(nil)
	o, err := s.open(ctx, ref)
	if err != nil {
		return report.Mounted{}, err
	}
	m := report.Mounted{Dir: dir, Image: ref, ID: o.ID.String()}
	if dir == "" {
		m.Own = true
		if err := os.MkdirAll(s.viewRoot(), 0o700); err != nil {
			return m, fmt.Errorf("make the directory for views: %w", err)
		}
		if m.Dir, err = os.MkdirTemp(s.viewRoot(), o.ID.Encoded()[:12]+"-"); err != nil {
			return m, fmt.Errorf("make the directory for a view: %w", err)
		}
	} else if m.Dir, err = viewPlace(dir); err != nil {
		return m, err
	}
	if err := s.mount(ctx, o, m); err != nil {
		s.removeOwn(m.Dir)
		return m, err
	}
	return m, nil
}

func (s examiner) mount(ctx context.Context, o *open, m report.Mounted) error {
	err := s.kept().Keep(ctx, m.Dir, o.chain, map[string]string{factImage: m.Image, factID: m.ID})
	if errdefs.IsAlreadyExists(err) {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("an image is mounted at %s already; unmount it first (berth image unmount %s)", m.Dir, m.Dir))
	}
	if err != nil {
		return fmt.Errorf("keep the layers at %s: %w", m.Dir, err)
	}
	layers := o.dirs
	if len(layers) == 1 {
		empty := filepath.Join(s.depot.Root, "snapshots", "none")
		if err := os.MkdirAll(empty, 0o755); err != nil {
			return err
		}
		layers = append(slices.Clone(layers), empty)
	}
	if err := mount.ViewLayers(layers, m.Dir); err != nil {
		return errors.Join(fmt.Errorf("mount image %s: %w", m.Image, err), s.kept().Drop(ctx, m.Dir))
	}
	return nil
}

func (s examiner) kept() depot.Views { return depot.Views{Depot: s.depot} }

func (s examiner) viewRoot() string { return filepath.Join(s.depot.Root, "mounts") }

// removeOwn removes a directory that Mount made, if it is one and free.
func (s examiner) removeOwn(dir string) {
	if filepath.Dir(dir) == s.viewRoot() {
		os.Remove(dir) //nolint:errcheck // a directory that is left does no harm, and is tried again at the start
	}
}

// viewPlace checks a directory that somebody named.
func viewPlace(dir string) (string, error) {
	if !filepath.IsAbs(dir) {
		return "", invalid("the directory %q is not absolute", dir)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", invalid("the directory for the image: %v", err)
	}
	entries, err := os.ReadDir(real)
	if err != nil {
		return "", invalid("the directory for the image: %v", err)
	}
	if len(entries) > 0 {
		return "", errdefs.ErrConflict.WithMessage(fmt.Sprintf("the directory %s is not empty; name an empty one", dir))
	}
	return real, nil
}

// Mounts lists what is mounted, by directory.
func (s examiner) Mounts(ctx context.Context) ([]report.Mounted, error) {
	views, err := s.kept().List(ctx)
	if err != nil {
		return nil, err
	}
	mounted := []report.Mounted{}
	for dir, facts := range views {
		mounted = append(mounted, report.Mounted{Dir: dir, Image: facts[factImage], ID: facts[factID], Own: filepath.Dir(dir) == s.viewRoot()})
	}
	slices.SortFunc(mounted, func(a, b report.Mounted) int { return cmp.Compare(a.Dir, b.Dir) })
	return mounted, nil
}

// Unmount ends a Mount, named by its directory or, if it has only one, by the
// image. A directory that Mount made goes. One that is in use stays, unless force.
func (s examiner) Unmount(ctx context.Context, which string, force bool) (report.Mounted, error) {
	mounted, err := s.Mounts(ctx)
	if err != nil {
		return report.Mounted{}, err
	}
	m, err := s.mountedAs(ctx, which, mounted)
	if err != nil {
		return m, err
	}
	places, err := mount.Points(viewSource)
	if err != nil {
		return m, err
	}
	if places[m.Dir] {
		if err := mount.Unmount(m.Dir, force); err != nil {
			return m, errdefs.ErrConflict.WithMessage(fmt.Sprintf("%v: somebody works in it; end that, or use --force", err))
		}
	}
	s.removeOwn(m.Dir)
	return m, s.kept().Drop(ctx, m.Dir)
}

func (s examiner) mountedAs(ctx context.Context, which string, mounted []report.Mounted) (report.Mounted, error) {
	dir := filepath.Clean(which)
	if real, err := filepath.EvalSymlinks(dir); err == nil && filepath.IsAbs(dir) {
		dir = real
	}
	var found []report.Mounted
	img, imgErr := s.Get(ctx, which)
	for _, m := range mounted {
		if m.Dir == dir {
			return m, nil
		}
		if m.Image == which || imgErr == nil && m.ID == img.ID.String() {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return report.Mounted{}, errdefs.ErrNotFound.WithMessage("No such mount: " + which + " (berth image mount lists them)")
	case 1:
		return found[0], nil
	}
	var dirs []string
	for _, m := range found {
		dirs = append(dirs, m.Dir)
	}
	return report.Mounted{}, invalid("%s is mounted at %s; name the directory", which, strings.Join(dirs, " and "))
}

// sweepViews lets go of what was mounted when the machine went down.
func (s examiner) sweepViews(ctx context.Context) error {
	mounted, err := s.Mounts(ctx)
	if err != nil {
		return err
	}
	places, err := mount.Points(viewSource)
	if err != nil {
		return err
	}
	for _, m := range mounted {
		if places[m.Dir] {
			continue
		}
		if err := s.kept().Drop(ctx, m.Dir); err != nil {
			return err
		}
	}
	left, err := os.ReadDir(s.viewRoot())
	if err != nil {
		return nil //nolint:nilerr // nothing was ever mounted there
	}
	for _, e := range left {
		if dir := filepath.Join(s.viewRoot(), e.Name()); !places[dir] {
			s.removeOwn(dir)
		}
	}
	return nil
}
