// Package storage gives containers what they mount besides their root: volumes,
// sources of binds, images and shared memory.
//
// What a container mounts is provided when it is created and let go of when it
// is removed; what has to be mounted on the host, a volume with a filesystem of
// its own and shared memory, is so from a run's beginning to its end. A crash
// leaves mounts of runs that have ended; Tidy takes them away at the next start.
package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/mounts"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/spec"
	"github.com/berth-containers/berth/internal/undo"
	"github.com/berth-containers/berth/internal/volume"
)

// Images finds those that are mounted.
type Images interface {
	Get(ctx context.Context, ref string) (image.Image, error)
}

// Layers stacks them.
type Layers interface {
	PrepareRootfs(ctx context.Context, img image.Image, key string) (oci.Rootfs, error)
	Rootfs(ctx context.Context, key string) (oci.Rootfs, error)
	RemoveRootfs(ctx context.Context, key string) error
}

// Options are what a Store works with.
type Options struct {
	DataRoot string
	ShmRoot  string // where shared memory is mounted
	Images   Images
	Layers   Layers
	Tell     func(volume string, action events.Action, more map[string]string)
	Log      *slog.Logger
}

// Store provides for the containers of one engine.
type Store struct {
	Options
	volumes *volume.Store
}

// Open reads the volumes.
func Open(o Options) (*Store, error) {
	volumes, err := volume.Open(filepath.Join(o.DataRoot, "volumes"), o.Log)
	return &Store{Options: o, volumes: volumes}, err
}

// Provide makes the volumes, looks for the sources of binds and stacks images
// for a container that is created; back takes it back.
func (s *Store) Provide(ctx context.Context, id string, plans []mounts.Plan, back *undo.Stack) ([]container.Mount, error) {
	made := make([]container.Mount, 0, len(plans))
	for i, p := range plans {
		var err error
		switch p.Type {
		case mount.TypeVolume:
			err = s.acquire(id, &p, back)
		case mount.TypeBind:
			if err = source(p); err == nil {
				err = s.aroundRoot(&p)
			}
		case mount.TypeImage:
			err = s.stack(ctx, id+"."+strconv.Itoa(i), &p, back)
		}
		if err != nil {
			return nil, err
		}
		made = append(made, p.Mount)
	}
	return made, nil
}

func (s *Store) acquire(id string, p *mounts.Plan, back *undo.Stack) error {
	had := slices.Contains(s.volumes.Users(p.Name), id) // by another mount
	v, created, err := s.volumes.Acquire(volume.Request{Name: p.Name, Driver: p.Driver, Options: p.Options, Labels: p.Labels}, id)
	if err != nil {
		return err
	}
	back.Add(func(context.Context) error {
		if !had {
			s.volumes.Release(v.Name, id)
		}
		if created {
			return unlessUsed(s.volumes.Remove(v.Name))
		}
		return nil
	})
	if created {
		s.Tell(v.Name, events.ActionCreate, nil)
	}
	p.Source, p.Foreign = v.Path, v.Mounted()
	return nil
}

// unlessUsed: somebody else uses the volume by now, or has removed it.
func unlessUsed(err error) error {
	if errdefs.IsConflict(err) || errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

func source(p mounts.Plan) error {
	if _, err := os.Stat(p.Source); !errors.Is(err, fs.ErrNotExist) || p.Inherited {
		return err
	}
	if !p.CreateSource {
		return errdefs.ErrInvalidArgument.WithMessage("invalid mount config for type \"bind\": bind source path does not exist: " + p.Source)
	}
	if err := os.MkdirAll(p.Source, 0o755); err != nil {
		return fmt.Errorf("make the bind's source: %w", err)
	}
	return nil
}

// aroundRoot has a bind that shows the engine's own data, or a part of it, follow the unmounts
// there: a filesystem would stay in use otherwise.
func (s *Store) aroundRoot(p *mounts.Plan) error {
	source, root := strings.TrimSuffix(p.Source, "/")+"/", s.DataRoot+"/"
	if !strings.HasPrefix(root, source) && !strings.HasPrefix(source, root) || p.Bind != nil && p.Bind.NonRecursive {
		return nil
	}
	switch p.Propagation {
	case mount.PropagationSlave, mount.PropagationRSlave, mount.PropagationShared, mount.PropagationRShared:
		return nil
	}
	if p.Bind != nil && p.Bind.Propagation != "" {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount source is within the daemon root, daemon root: %q, bind mount source: %q, propagation: %q", s.DataRoot, p.Source, p.Propagation))
	}
	p.Propagation = mount.PropagationRSlave
	return nil
}

// stack makes layers of an image's own, so that the image stays while they do.
func (s *Store) stack(ctx context.Context, key string, p *mounts.Plan, back *undo.Stack) error {
	ref := p.Name
	if p.Inherited { // the name may be another image's by now
		ref = p.ImageID.String()
	}
	img, err := s.Images.Get(ctx, ref)
	if errdefs.IsNotFound(err) { // of this kind a client would take it for the container's own image
		err = errdefs.ErrInvalidArgument.WithMessage(err.Error() + " (pull it first to mount it)")
	}
	if err != nil {
		return err
	}
	back.Add(func(ctx context.Context) error { return s.Layers.RemoveRootfs(ctx, key) })
	r, err := s.Layers.PrepareRootfs(ctx, img, key)
	if err != nil {
		return fmt.Errorf("prepare image %s to be mounted: %w", p.Name, err)
	}
	if r.Host {
		return errdefs.ErrInvalidArgument.WithMessage("invalid mount config for type \"image\": the image host cannot be mounted")
	}
	p.ImageID, p.Layers, p.Source = img.ID, key, r.Upper
	return nil
}

// OwnerOf is the container whose layers have a key.
func OwnerOf(key string) string {
	id, _, _ := strings.Cut(key, ".")
	return id
}

// Adopt notes what a container uses that an earlier engine made.
func (s *Store) Adopt(r *container.Record) {
	for i, m := range r.AllMounts() {
		if m.Type != mount.TypeVolume {
			continue
		}
		_, _, err := s.volumes.Acquire(volume.Request{Name: m.Name}, r.ID)
		if err == nil && r.State.Status.Alive() && i < len(r.Mounts) {
			err = s.volumes.Keep(m.Name, r.ID)
		}
		if err != nil {
			s.Log.Warn("find a container's volume", "container", r.Name, "volume", m.Name, "error", err)
		}
	}
}

// Tidy takes away what is mounted for runs that have ended; alive says which
// have not.
func (s *Store) Tidy(alive, exists func(id string) bool) {
	s.volumes.Tidy()
	entries, err := os.ReadDir(s.ShmRoot)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Log.Warn("look for shared memory", "error", err)
	}
	for _, e := range entries {
		if alive(e.Name()) {
			continue
		}
		if err := s.dropShm(e.Name(), !exists(e.Name())); err != nil {
			s.Log.Warn("take shared memory away", "container", e.Name(), "error", err)
		}
	}
}

// Begin mounts what a run needs and completes the specification's input; End
// takes that back.
func (s *Store) Begin(ctx context.Context, r *container.Record, in *spec.Input) error {
	for _, m := range r.Mounts {
		if m.Type != mount.TypeVolume {
			continue
		}
		if err := s.volumes.Mount(ctx, m.Name, r.ID); err != nil {
			return errors.Join(err, s.End(r))
		}
	}
	if err := errors.Join(s.Stacks(ctx, r, in), s.mapBinds(ctx, r, in)); err != nil {
		return errors.Join(err, s.End(r))
	}
	if !r.HostConfig.IpcMode.IsShareable() {
		return nil
	}
	in.ShmDir = s.Shm(r.ID)
	if err := s.makeShm(r); err != nil {
		return errors.Join(err, s.End(r))
	}
	return nil
}

// Stacks completes the specification's input by the images that are mounted.
func (s *Store) Stacks(ctx context.Context, r *container.Record, in *spec.Input) error {
	for _, m := range r.Mounts {
		if m.Type != mount.TypeImage {
			continue
		}
		layers, err := s.Layers.Rootfs(ctx, m.Layers)
		if err != nil {
			return fmt.Errorf("find the layers of image %s: %w", m.Name, err)
		}
		if in.Images == nil {
			in.Images = map[string]oci.Rootfs{}
		}
		in.Images[m.Destination] = layers
	}
	return nil
}

// End unmounts what nobody else uses after a run, or after Begin.
func (s *Store) End(r *container.Record) error {
	var all []error
	for _, m := range r.Mounts {
		if m.Type == mount.TypeVolume {
			all = append(all, s.volumes.Unmount(m.Name, r.ID))
		}
	}
	if r.HostConfig.IpcMode.IsShareable() {
		all = append(all, s.dropShm(r.ID, false))
	}
	return errors.Join(all...)
}

// Started tells of the volumes that a run uses, as Docker does.
func (s *Store) Started(r *container.Record) {
	for _, m := range r.Mounts {
		if m.Type == mount.TypeVolume {
			s.Tell(m.Name, events.ActionMount, map[string]string{"container": r.ID, "destination": m.Destination,
				"read/write": strconv.FormatBool(m.RW), "propagation": string(m.Propagation)})
		}
	}
}

// Ended tells that a run uses them no more.
func (s *Store) Ended(r *container.Record) {
	for _, m := range r.Mounts {
		if m.Type == mount.TypeVolume {
			s.Tell(m.Name, events.ActionUnmount, map[string]string{"container": r.ID})
		}
	}
}

// Release lets go of the volumes of a container that goes; with anonymous those
// that were made for it alone go as well.
func (s *Store) Release(r *container.Record, anonymous bool) {
	for _, m := range r.AllMounts() {
		if m.Type != mount.TypeVolume || anonymous && !m.Anonymous {
			continue
		}
		s.volumes.Release(m.Name, r.ID)
		if !anonymous {
			continue
		}
		err := s.volumes.Remove(m.Name)
		if unlessUsed(err) != nil {
			s.Log.Warn("remove an anonymous volume", "volume", m.Name, "container", r.ID, "error", err)
		}
		if err == nil {
			s.Tell(m.Name, events.ActionDestroy, nil)
		}
	}
}

// Discard takes away the layers of a container, its own and those of the images
// that it mounts.
func (s *Store) Discard(ctx context.Context, r *container.Record) error {
	all := []error{s.dropShm(r.ID, true), s.unlimit(ctx, r), s.Layers.RemoveRootfs(ctx, r.ID)}
	for _, m := range r.AllMounts() {
		if m.Type == mount.TypeImage {
			all = append(all, s.Layers.RemoveRootfs(ctx, m.Layers))
		}
	}
	return errors.Join(all...)
}

// Leave lets go of the mounts of a container that it does not use and that are not
// among those it keeps.
func (s *Store) Leave(ctx context.Context, id string, mounts, kept []container.Mount) error {
	for _, m := range mounts {
		if slices.ContainsFunc(kept, func(k container.Mount) bool { return k.Type == m.Type && k.Name == m.Name && k.Layers == m.Layers }) {
			continue
		}
		switch m.Type {
		case mount.TypeVolume:
			s.volumes.Release(m.Name, id)
		case mount.TypeImage:
			if err := s.Layers.RemoveRootfs(ctx, m.Layers); err != nil {
				return fmt.Errorf("let go of image %s: %w", m.Name, err)
			}
		}
	}
	return nil
}
