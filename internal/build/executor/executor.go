// Package executor runs the steps of a build as containers of our own runtime:
// BuildKit says what a step may do, the runtime makes its namespaces, mounts,
// seccomp filter and cgroup. The builder is the parent of what it runs; with it
// go the mounts, which are in its mount namespace only. A crash leaves cgroups
// with what runs in them below one parent, which the engine takes away.
package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/containerd/containerd/v2/core/mount"
	containerdoci "github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	bk "github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	resources "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/network"
	"github.com/moby/sys/user"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/runtime"
)

// Options of an executor.
type Options struct {
	Dir          string // for what belongs to running steps; others clean it up
	CgroupParent string
	Networks     map[pb.NetMode]network.Provider
}

// Executor runs steps.
type Executor struct {
	options Options
	runtime *runtime.Runtime

	mu      sync.Mutex
	running map[string]*step
}

// New returns an executor that runs steps with r.
func New(r *runtime.Runtime, o Options) (*Executor, error) {
	if err := os.MkdirAll(o.Dir, 0o711); err != nil {
		return nil, fmt.Errorf("make the directory of steps: %w", err)
	}
	return &Executor{options: o, runtime: r, running: map[string]*step{}}, nil
}

// step is a container that runs, or is about to.
type step struct {
	ready  chan struct{} // it runs, or never will
	spec   *specs.Spec
	rootfs string
	pid    int
	cgroup string
}

// Run runs a step to its end. started is closed when it runs.
func (e *Executor) Run(ctx context.Context, id string, root bk.Mount, mounts []bk.Mount, p bk.ProcessInfo, started chan<- struct{}) (_ resources.Recorder, err error) {
	if id == "" {
		id = identity.NewID()
	}
	if err := bk.ValidContainerID(id); err != nil {
		return nil, err
	}
	s := &step{ready: make(chan struct{})}
	begun := sync.OnceFunc(func() {
		close(s.ready)
		if started != nil {
			close(started)
		}
	})
	e.mu.Lock()
	if e.running[id] != nil {
		e.mu.Unlock()
		return nil, errdefs.ErrAlreadyExists.WithMessage("step " + id + " runs already")
	}
	e.running[id] = s
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.running, id)
		e.mu.Unlock()
		begun()
	}()
	var undo cleanup
	defer func() { err = errors.Join(err, undo.run()) }()
	if err := e.prepare(ctx, id, s, root, mounts, p, &undo); err != nil {
		return nil, err
	}
	return nil, e.execute(ctx, id, s, p, begun)
}

// prepare makes everything that a step needs besides its processes.
func (e *Executor) prepare(ctx context.Context, id string, s *step, root bk.Mount, mounts []bk.Mount, p bk.ProcessInfo, undo *cleanup) error {
	meta := p.Meta
	provider, ok := e.options.Networks[meta.NetMode]
	if !ok || meta.Proxy != nil {
		return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("steps cannot have the network %s here", meta.NetMode))
	}
	ns, err := provider.New(ctx, meta.Hostname, network.NamespaceOptions{})
	if err != nil {
		return fmt.Errorf("make the network of a step: %w", err)
	}
	undo.add(ns.Close)
	bundle := filepath.Join(e.options.Dir, id)
	s.rootfs = filepath.Join(bundle, "rootfs")
	if err := os.MkdirAll(s.rootfs, 0o711); err != nil {
		return fmt.Errorf("make the directory of a step: %w", err)
	}
	// Not all below: what could not be unmounted is a layer of the cache.
	undo.add(func() error { return errors.Join(os.Remove(s.rootfs), os.Remove(bundle)) })
	if err := mountRoot(ctx, s.rootfs, root, undo); err != nil {
		return err
	}
	clean := bk.MountStubsCleaner(context.WithoutCancel(ctx), s.rootfs, mounts, meta.RemoveMountStubsRecursive)
	undo.add(func() error { clean(); return nil })
	uid, gid, more, err := oci.GetUser(s.rootfs, meta.User)
	if err != nil {
		return fmt.Errorf("find user %q: %w", meta.User, err)
	}
	if err := makeWorkdir(s.rootfs, meta.Cwd, int(uid), int(gid)); err != nil {
		return err
	}
	opts := []containerdoci.SpecOpts{oci.WithUIDGID(uid, gid, more)}
	if meta.ReadonlyRootFS || root.Readonly {
		opts = append(opts, containerdoci.WithRootFSReadonly())
	}
	resolv, hosts, err := e.files(ctx, meta, undo)
	if err != nil {
		return err
	}
	spec, done, err := oci.GenerateSpec(ctx, meta, mounts, id, resolv, hosts, ns, e.options.CgroupParent,
		oci.ProcessSandbox, nil, "", false, "", nil, opts...)
	if err != nil {
		return err
	}
	undo.add(func() error { done(); return nil })
	spec.Root.Path, spec.Process.Terminal = s.rootfs, meta.Tty
	boundPids(spec)
	nameLayers(spec)
	s.spec = spec
	return nil
}

// maxPids is what one that forks for ever comes to.
const maxPids = 1 << 14

func boundPids(s *specs.Spec) {
	if s.Linux.Resources == nil {
		s.Linux.Resources = &specs.LinuxResources{}
	}
	limit := int64(maxPids)
	s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit}
}

// mountRoot mounts the step's root filesystem, in the builder's namespace.
func mountRoot(ctx context.Context, dir string, root bk.Mount, undo *cleanup) error {
	mountable, err := root.Src.Mount(ctx, false)
	if err != nil {
		return err
	}
	list, release, err := mountable.Mount()
	if err != nil {
		return err
	}
	if release != nil {
		undo.add(release)
	}
	if err := mount.All(list, dir); err != nil {
		return fmt.Errorf("mount the root filesystem: %w", err)
	}
	undo.add(func() error { return mount.UnmountAll(dir, syscall.MNT_DETACH) })
	return nil
}

// makeWorkdir makes the working directory, as Docker does, if it is missing.
func makeWorkdir(rootfs, dir string, uid, gid int) error {
	path, err := fs.RootPath(rootfs, dir)
	if err != nil {
		return fmt.Errorf("find the working directory %s: %w", dir, err)
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := user.MkdirAllAndChown(path, 0o755, uid, gid); err != nil {
		return fmt.Errorf("make the working directory %s: %w", dir, err)
	}
	return nil
}

// files are the resolv.conf and hosts of a step.
func (e *Executor) files(ctx context.Context, meta bk.Meta, undo *cleanup) (resolv, hosts string, err error) {
	dir, err := os.OpenRoot(e.options.Dir)
	if err != nil {
		return "", "", err
	}
	defer dir.Close()
	if resolv, err = oci.GetResolvConf(ctx, dir, nil, nil, meta.NetMode); err != nil {
		return "", "", fmt.Errorf("write resolv.conf: %w", err)
	}
	hosts, clean, err := oci.GetHostsFile(ctx, dir, meta.ExtraHosts, nil, meta.Hostname)
	if err != nil {
		return "", "", fmt.Errorf("write hosts: %w", err)
	}
	if clean != nil {
		undo.add(func() error { clean(); return nil })
	}
	return filepath.Join(e.options.Dir, resolv), filepath.Join(e.options.Dir, hosts), nil
}

// cleanup is what is to be taken back, the last first.
type cleanup struct{ steps []func() error }

func (c *cleanup) add(f func() error) { c.steps = append(c.steps, f) }

func (c *cleanup) run() (err error) {
	for i := len(c.steps) - 1; i >= 0; i-- {
		err = errors.Join(err, c.steps[i]())
	}
	return err
}
