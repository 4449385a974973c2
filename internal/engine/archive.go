package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	mobynet "github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/archive"
	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/merge"
	"github.com/berth-containers/berth/internal/engine/show"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/network"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/snapshot"
	"github.com/berth-containers/berth/internal/spec"
	"github.com/berth-containers/berth/internal/sys/userns"
)

// filing reaches the files of containers.
type filing struct{ *core }

// files is a container's mount namespace. One that does not run keeps its turn
// until done, so that nobody starts it on the same layer meanwhile.
func (f filing) files(ctx context.Context, ref string) (p archive.Place, r *container.Record, done func(), err error) {
	_, r, end, err := f.begin(ctx, ref)
	if err != nil {
		return p, nil, nil, err
	}
	release := func() {}
	q := shim.MountsRequest{ID: r.ID}
	if r.State.Status.Alive() {
		defer end()
		if p.Users, err = userns.Of(r.State.Pid); err != nil {
			return p, nil, nil, fmt.Errorf("reach the files of container %s: %w", r.Name, err)
		}
	} else {
		in := spaces(f).input(r)
		if err := f.storage.Begin(ctx, r, &in); err != nil {
			end()
			return p, nil, nil, err
		}
		release = func() {
			f.quietly("unmount volumes", func() error { return f.storage.End(r) })
			end()
		}
		if q, err = f.unstarted(ctx, r, in); err != nil {
			release()
			return p, nil, nil, err
		}
	}
	if p.Mounts, err = f.deps.Shim.Mounts(ctx, q); err != nil {
		release()
		return p, nil, nil, fmt.Errorf("reach the files of container %s: %w", r.Name, err)
	}
	return p, r, func() { p.Mounts.Close(); release() }, nil
}

// image is the mount namespace of a container that is being made, for what its
// image has; its volumes are mounted already.
func (f filing) image(ctx context.Context, r *container.Record) (*os.File, error) {
	in := spaces(f).input(r)
	if err := f.storage.Stacks(ctx, r, &in); err != nil {
		return nil, err
	}
	q, err := f.unstarted(ctx, r, in)
	if err != nil {
		return nil, err
	}
	return f.deps.Shim.Mounts(ctx, q)
}

// unstarted asks for the mounts that a run would have, without its network and
// its cgroup, and without a change to its root.
func (f filing) unstarted(ctx context.Context, r *container.Record, in spec.Input) (shim.MountsRequest, error) {
	rootfs, err := f.deps.Rootfs.Rootfs(ctx, r.ID)
	if err != nil {
		return shim.MountsRequest{}, fmt.Errorf("find the root filesystem: %w", err)
	}
	r = r.Clone()
	config, host := *r.Config, *r.HostConfig
	config.Tty = false
	host.NetworkMode, host.PidMode, host.IpcMode, host.UTSMode = mobynet.NetworkNone, "", api.IPCModePrivate, ""
	r.Config, r.HostConfig = &config, &host
	in.Record, in.ShmDir, in.Users = r, "", userns.Map{} // files have the container's own IDs then
	if err := f.writeFiles(r, network.Places{}, nil, &in); err != nil {
		return shim.MountsRequest{}, err
	}
	out, err := f.deps.Spec(in)
	if err != nil {
		return shim.MountsRequest{}, err
	}
	out.Spec.Process.Cwd = "/" // one that is missing would be made
	out.Spec.Linux.CgroupsPath, out.Spec.Linux.Resources = "", nil
	return shim.MountsRequest{ID: r.ID, Bundle: f.dir(r.ID), Spec: out.Spec, Rootfs: &rootfs}, nil
}

// StatPath is what is at a path of a container.
func (f filing) StatPath(ctx context.Context, ref, name string) (api.PathStat, error) {
	p, _, done, err := f.files(ctx, ref)
	if err != nil {
		return api.PathStat{}, err
	}
	defer done()
	p.Path = name
	s, err := archive.Look(p)
	return showStat(s), err
}

func showStat(s archive.Stat) api.PathStat {
	return api.PathStat{Name: s.Name, Size: s.Size, Mode: s.Mode, Mtime: s.Time, LinkTarget: s.Target}
}

// Archive writes what is at a path as a tar, to the writer that begin returns
// for it.
func (f filing) Archive(ctx context.Context, ref, name string, begin func(api.PathStat) (io.Writer, error)) error {
	p, r, done, err := f.files(ctx, ref)
	if err != nil {
		return err
	}
	defer done()
	p.Path = name
	s, err := archive.Look(p)
	if err != nil {
		return err
	}
	w, err := begin(showStat(s))
	if err != nil {
		return err
	}
	f.tell(r, events.ActionArchivePath, nil)
	return archive.Pack(p, s, w)
}

// ExtractOptions are those of Extract.
type ExtractOptions struct {
	KeepKinds bool // a directory is not replaced by something else, nor the reverse
	OwnUser   bool // everything is the container's user's
}

// Extract unpacks a tar into a directory of a container.
func (f filing) Extract(ctx context.Context, ref, name string, body io.Reader, o ExtractOptions) error {
	p, r, done, err := f.files(ctx, ref)
	if err != nil {
		return err
	}
	defer done()
	options := archive.Options{KeepKinds: o.KeepKinds, Allowed: func(dir string) error { return writable(r, dir) }}
	if o.OwnUser {
		options.User = r.Config.User
	}
	p.Path = name
	if err := archive.Unpack(p, body, options); err != nil {
		return err
	}
	f.tell(r, events.ActionExtractToDir, nil)
	return nil
}

// writable refuses a directory that the container itself could not write to.
func writable(r *container.Record, dir string) error {
	best := ""
	readOnly := r.HostConfig.ReadonlyRootfs
	for _, m := range r.Mounts {
		at := path.Clean(m.Destination)
		if (dir == at || strings.HasPrefix(dir, strings.TrimSuffix(at, "/")+"/")) && len(at) > len(best) {
			best, readOnly = at, !m.RW
		}
	}
	switch {
	case !readOnly:
		return nil
	case best != "":
		return errdefs.ErrPermissionDenied.WithMessage("mounted volume is marked read-only")
	}
	return errdefs.ErrPermissionDenied.WithMessage("container rootfs is marked read-only")
}

// Export writes a container's root filesystem, without its volumes, as a tar to
// the writer that begin returns.
func (f filing) Export(ctx context.Context, ref string, begin func() (io.Writer, error)) error {
	p, r, done, err := f.files(ctx, ref)
	if err != nil {
		return err
	}
	defer done()
	w, err := begin()
	if err != nil {
		return err
	}
	f.tell(r, events.ActionExport, nil)
	return archive.Export(p, w)
}

// Changes lists what a container changed of its image.
func (f filing) Changes(ctx context.Context, ref string) ([]api.FilesystemChange, error) {
	r, err := f.records.Find(ref)
	if err != nil {
		return nil, err
	}
	rootfs, err := f.deps.Rootfs.Rootfs(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if rootfs.Host {
		return nil, errdefs.ErrInvalidArgument.WithMessage("a container of the image host has no layers to compare")
	}
	changes, err := snapshot.Changes(rootfs.Upper, rootfs.Lowers)
	if err != nil {
		return nil, fmt.Errorf("compare the layers of %s: %w", r.Name, err)
	}
	list := make([]api.FilesystemChange, 0, len(changes))
	for _, c := range changes {
		kind := map[snapshot.Kind]api.ChangeType{snapshot.Modified: api.ChangeModify, snapshot.Added: api.ChangeAdd, snapshot.Deleted: api.ChangeDelete}[c.Kind]
		list = append(list, api.FilesystemChange{Kind: kind, Path: c.Path})
	}
	return show.Changes(list), nil
}

// CommitOptions are those of Commit.
type CommitOptions struct {
	Ref, Author, Comment string
	Config               *api.Config // in place of the container's
	Changes              []string
	Pause                bool
}

// Commit makes an image of what a container wrote. With Pause it does not run
// meanwhile.
func (f filing) Commit(ctx context.Context, ref string, o CommitOptions) (id string, err error) {
	r, err := f.records.Find(ref)
	if err != nil {
		return "", err
	}
	base, err := f.deps.Images.Get(ctx, r.ImageID.String())
	if err != nil {
		return "", err
	}
	rootfs, err := f.deps.Rootfs.Rootfs(ctx, r.ID)
	if err != nil {
		return "", err
	}
	if o.Config == nil {
		o.Config = &api.Config{}
	}
	config := merge.Config(o.Config, r.Config)
	if o.Pause && r.State.Status == container.Running {
		if err := verbs(f).Pause(ctx, r.ID); err != nil {
			return "", err
		}
		defer func() {
			if resumeErr := verbs(f).Unpause(context.WithoutCancel(ctx), r.ID); resumeErr != nil && err == nil {
				err = resumeErr
			}
		}()
	}
	made, err := f.deps.Images.Commit(ctx, image.Commit{Base: base, Ref: o.Ref, Author: o.Author, Comment: o.Comment, CreatedBy: strings.Join(r.Config.Cmd, " "),
		Config: config, Changes: o.Changes}, func(w io.Writer) error { return archive.Layer(rootfs.Upper, w) })
	if err != nil {
		return "", err
	}
	f.tell(r, events.ActionCommit, map[string]string{"comment": o.Comment, "imageID": made.String(), "imageRef": o.Ref})
	return made.String(), nil
}
