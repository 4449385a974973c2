package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/engine/lives"
	"github.com/berth-containers/berth/internal/engine/logging"
	"github.com/berth-containers/berth/internal/engine/networks"
	"github.com/berth-containers/berth/internal/network"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/spec"
	"github.com/berth-containers/berth/internal/sys/userns"
	"github.com/berth-containers/berth/internal/undo"
)

// Start runs a container; ErrNotModified if it runs already.
func (v verbs) Start(ctx context.Context, ref string) error {
	l, r, end, err := v.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer end()
	switch r.State.Status {
	case container.Running, container.Restarting:
		return ErrNotModified
	case container.Paused:
		return errdefs.ErrConflict.WithMessage("cannot start a paused container, try unpause instead")
	case container.Removing, container.Dead:
		return errdefs.ErrConflict.WithMessage("container is marked for removal and cannot be started")
	}
	free, err := v.starts.take(ctx)
	if err != nil {
		return err
	}
	defer free()
	ctx = context.WithoutCancel(ctx) // a client that goes away must not leave it in doubt whether it runs
	l.ResetBackoff()
	return v.launch(ctx, l, r, 0)
}

// launch begins a run; the caller has the container's turn. If it fails, the
// record says why and nothing of the run is left; a container with --rm goes.
func (c *core) launch(ctx context.Context, l *lives.Live, r *container.Record, restarts int) error {
	run := lives.NewRun()
	l.SetRun(run)
	var begun started
	next, err := c.remount(ctx, r)
	if err == nil {
		r = next
		begun, err = c.execute(ctx, r, run)
	}
	if err == nil {
		err = c.running(r.ID, run, begun, restarts)
	}
	if err == nil {
		return nil
	}
	run.Failed = !lives.Closed(run.Started)
	if run.Failed {
		close(run.Started)
	}
	return errors.Join(err, c.failedStart(ctx, l, r, err))
}

// running publishes and stores that the container runs.
func (c *core) running(id string, run *lives.Run, s started, restarts int) error {
	r := c.records.Update(id, func(r *container.Record) {
		r.State = container.State{Status: container.Running, Pid: s.Pid, StartedAt: s.StartedAt.UTC(), FinishedAt: r.State.FinishedAt, CgroupPath: s.CgroupPath}
		r.RestartCount, r.StoppedByUser = restarts, false
		if s.attached != nil {
			r.Networks = s.attached
			r.SetEndpoints(s.places.Endpoints)
		}
	})
	c.storage.Started(r)
	if s.attached != nil {
		wiring{c}.tellPlaces(r, events.ActionConnect)
	}
	c.tell(r, events.ActionStart, nil)
	close(run.Started)
	streams{c}.watchHealth(r, streams{c}.knownHealth(r, c.lives.Get(id)), run)
	for _, w := range s.Warnings {
		c.log.Warn("start of a container", "container", id, "warning", w)
	}
	return c.records.Save(id)
}

// failedStart notes why; the run that failed is forgotten. Who waits for the next
// exit waits on, as with Docker: there was none, and the start's own error is
// the answer.
func (c *core) failedStart(ctx context.Context, l *lives.Live, r *container.Record, cause error) error {
	ctx = context.WithoutCancel(ctx)
	if run := l.Current(); run != nil && !run.Failed {
		// It runs, but that could not be stored: then it must not run.
		return c.deps.Shim.Signal(ctx, r.ID, "", syscall.SIGKILL)
	}
	l.SetRun(nil)
	again := r.State.Status == container.Restarting
	r = c.records.Update(r.ID, func(r *container.Record) {
		r.State.Error, r.State.ExitCode, r.State.Pid = cause.Error(), exitCodeOf(cause), 0
		if again {
			r.State.Status = container.Exited
		}
	})
	if again {
		l.Wake(answerOf(r), func(w api.WaitCondition) bool { return w != api.WaitConditionRemoved })
	}
	if r.HostConfig.AutoRemove {
		return removal{c}.discard(ctx, l, r, true)
	}
	return c.records.Save(r.ID)
}

// exitCodeOf is Docker's code for a program that was not executed.
func exitCodeOf(err error) int {
	text := err.Error()
	switch {
	case strings.Contains(text, "executable file not found") || strings.Contains(text, "no such file or directory"):
		return 127
	case strings.Contains(text, "permission denied") || strings.Contains(text, "exec format error") || strings.Contains(text, "is a directory"):
		return 126
	}
	return 128
}

// started is what a run began with.
type started struct {
	shim.StartResponse
	attached []container.Attachment // nil: the network is another's
	places   network.Places
}

// execute makes everything a run needs and has the shim start it.
func (c *core) execute(ctx context.Context, r *container.Record, run *lives.Run) (s started, err error) {
	var back undo.Stack
	defer back.OnError(ctx, &err)
	rootfs, err := c.deps.Rootfs.Rootfs(ctx, r.ID)
	if err != nil {
		return s, fmt.Errorf("find the root filesystem: %w", err)
	}
	in := spaces{c}.input(r)
	if err := c.storage.Begin(ctx, r, &in); err != nil {
		return s, err
	}
	back.Add(func(context.Context) error { return c.storage.End(r) })
	if err := (spaces{c}).namespaces(r, &in); err != nil {
		return s, err
	}
	if networks.Own(r) {
		sandbox, attached, err := wiring{c}.sandbox(ctx, r)
		if err != nil {
			return s, err
		}
		defer c.quietly("close a sandbox", sandbox.Close)
		s.attached, s.places, in.NetNS = attached, sandbox.Places, sandbox.NetNS
		back.Add(func(ctx context.Context) error { return c.deps.Networks.Release(ctx, r.ID) })
	}
	linked, err := networks.Links(r, c.records.Find)
	if err != nil {
		return s, err
	}
	in.Record = networks.WithEnv(r, linked)
	if err := c.writeFiles(r, s.places, linked.Hosts, &in); err != nil {
		return s, err
	}
	out, err := c.deps.Spec(in)
	if err != nil {
		return s, err
	}
	log, err := logging.Config(r, c.logDir(r.ID))
	if err != nil {
		return s, err
	}
	run.Process = out.Spec.Process
	s.StartResponse, err = c.startProcess(ctx, shim.StartRequest{ID: r.ID, Bundle: c.dir(r.ID), Spec: out.Spec, Rootfs: &rootfs,
		OpenStdin: r.Config.OpenStdin, StdinOnce: r.Config.StdinOnce, Log: shim.LogConfig(log)})
	if errdefs.IsNotFound(err) || errdefs.IsPermissionDenied(err) {
		err = errdefs.ErrInvalidArgument.WithMessage(err.Error()) // a 404 would mean the container
	}
	return s, err
}

// startProcess has the shim start a run. What the shim still has under the ID is
// a start whose answer was lost with an earlier shim, or a run whose release
// was: the caller has the container's turn and nothing of it runs by the record.
func (c *core) startProcess(ctx context.Context, q shim.StartRequest) (shim.StartResponse, error) {
	s, err := c.deps.Shim.Start(ctx, q)
	if errdefs.IsAlreadyExists(err) {
		c.log.Warn("a container was started but not recorded; it is killed", "container", q.ID)
		if err := c.dislodge(ctx, q.ID); err != nil {
			return s, err
		}
		s, err = c.deps.Shim.Start(ctx, q)
	}
	if errdefs.IsUnavailable(err) {
		if !errors.Is(err, shim.ErrNobody) {
			// What had come about is the next shim's, which writes to the container's
			// files until it has let go of it: only then may they be removed.
			c.quietly("take back a start whose answer was lost", func() error { return c.dislodge(ctx, q.ID) })
		}
		err = errdefs.ErrUnavailable.WithMessage("the shim died while the container was started; start it again (" + err.Error() + ")")
	}
	return s, err
}

// dislodge kills what the shim, or the one that follows it, has under an ID and
// makes it forget that.
func (c *core) dislodge(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, cleanup)
	defer cancel()
	for {
		err := c.deps.Shim.Signal(ctx, id, "", syscall.SIGKILL)
		if err == nil || errdefs.IsNotFound(err) {
			err = c.deps.Shim.Release(ctx, id)
		}
		if !errdefs.IsFailedPrecondition(err) && !errdefs.IsUnavailable(err) {
			return err
		}
		select { // the kernel is about to end it, or there is no shim at the moment
		case <-time.After(dislodgePause):
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of an earlier run: %w", err)
		}
	}
}

const dislodgePause = 5 * time.Millisecond

func (c *core) quietly(what string, f func() error) {
	if err := f(); err != nil {
		c.log.Warn(what, "error", err)
	}
}

// spaces tell which namespaces a container gets.
type spaces struct{ *core }

// input is what the specification of every container is made with.
func (c spaces) input(r *container.Record) spec.Input {
	return spec.Input{Record: r, CgroupParent: c.cfg.CgroupParent, CgroupV2: c.cfg.CgroupV2, InitBinary: c.cfg.InitBinary,
		Group: c.storage.Groups(context.Background(), r.ID), Users: c.cfg.Users}
}

// namespaces tells the specification's input which namespaces are new.
func (c spaces) namespaces(r *container.Record, in *spec.Input) (err error) {
	h := r.HostConfig
	switch {
	case h.NetworkMode.IsHost():
		in.NetNS = "host"
	case h.NetworkMode.IsContainer():
		in.NetNS, err = c.namespaceOf(h.NetworkMode.ConnectedContainer(), "net")
	}
	if err == nil && h.PidMode.IsHost() {
		in.PidNS = "host"
	} else if err == nil && h.PidMode.IsContainer() {
		in.PidNS, err = c.namespaceOf(h.PidMode.Container(), "pid")
	}
	switch {
	case err != nil:
	case h.IpcMode.IsHost():
		in.IpcNS = "host"
	case h.IpcMode.IsContainer():
		in.IpcNS, in.ShmDir, err = c.joinIpc(h.IpcMode.Container())
	}
	if h.UTSMode.IsHost() {
		in.UtsNS = "host"
	}
	if err == nil {
		err = c.joinUsers(h, in)
	}
	return err
}

// joinUsers has a container that shares a namespace share the user namespace as
// well, which the other one belongs to.
func (c spaces) joinUsers(h *api.HostConfig, in *spec.Input) error {
	if len(in.Users.UIDs) == 0 || h.UsernsMode.IsHost() {
		return nil
	}
	for _, ref := range []string{h.PidMode.Container(), h.IpcMode.Container(), h.NetworkMode.ConnectedContainer()} {
		if ref == "" {
			continue
		}
		path, err := c.namespaceOf(ref, "user")
		if err != nil {
			return err
		}
		if in.UserNS != "" {
			continue
		}
		other, err := c.records.Find(ref)
		if err != nil {
			return err
		}
		theirs, err := userns.Of(other.State.Pid)
		if err != nil {
			return err
		}
		if in.Users, in.UserNS = theirs, path; theirs.IsHost() {
			in.Users, in.UserNS = userns.Map{}, ""
			return nil
		}
	}
	return nil
}

func (c spaces) joinIpc(ref string) (ns, shm string, err error) {
	other, err := c.records.Find(ref)
	if err != nil {
		return "", "", err
	}
	if other.HostConfig.IpcMode.IsHost() {
		return "host", "", nil
	}
	if !other.HostConfig.IpcMode.IsShareable() {
		return "", "", errdefs.ErrInvalidArgument.WithMessage("can't join IPC of container " + ref + ": it must run with --ipc shareable")
	}
	ns, err = c.namespaceOf(ref, "ipc")
	return ns, c.storage.Shm(other.ID), err
}

func (c spaces) namespaceOf(ref, kind string) (string, error) {
	other, err := c.records.Find(ref)
	if err != nil {
		return "", err
	}
	if !other.State.Status.Alive() {
		return "", errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot join %s namespace of a non running container: %s", kind, other.ID))
	}
	return "/proc/" + strconv.Itoa(other.State.Pid) + "/ns/" + kind, nil
}
