package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"
	bk "github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/runtime"
	"github.com/berth-containers/berth/internal/sys/pidfd"
	"github.com/berth-containers/berth/internal/sys/tty"
)

// execute runs the program of a step that was prepared.
func (e *Executor) execute(ctx context.Context, id string, s *step, p bk.ProcessInfo, begun func()) error {
	io, err := newStreams(p)
	if err != nil {
		return err
	}
	defer io.abort()
	c, err := e.runtime.Create(ctx, runtime.CreateOptions{ID: id, Spec: s.spec, Bundle: e.options.Dir, Stdio: io.theirs, DiscardLimits: true})
	if err != nil {
		return notStarted(err)
	}
	defer e.runtime.RemoveCgroup(c.CgroupPath) //nolint:errcheck // the engine removes what is left
	defer c.Pidfd.Close()
	if err := c.Start(); err != nil {
		pidfd.Signal(c.Pidfd, syscall.SIGKILL) //nolint:errcheck // it may have ended
		_, _ = wait(c.Pid, c.Pidfd)
		return notStarted(err)
	}
	s.pid, s.cgroup = c.Pid, c.CgroupPath
	begun()
	return io.attend(ctx, child{c.Pid, c.Pidfd, c.Console, c.CgroupPath}, p)
}

// notStarted is what a shell says of a program that cannot be executed.
func notStarted(err error) error {
	code := uint32(0)
	switch {
	case errdefs.IsNotFound(err):
		code = 127
	case errdefs.IsPermissionDenied(err):
		code = 126
	default:
		return fmt.Errorf("start the step: %w", err)
	}
	return &gateway.ExitError{ExitCode: code, Err: err}
}

// Exec runs one more process in a step that runs or is about to.
func (e *Executor) Exec(ctx context.Context, id string, p bk.ProcessInfo) error {
	e.mu.Lock()
	s := e.running[id]
	e.mu.Unlock()
	if s == nil {
		return errdefs.ErrNotFound.WithMessage("step " + id + " does not run")
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.pid == 0 {
		return errdefs.ErrNotFound.WithMessage("step " + id + " did not start")
	}
	process, err := execProcess(s, p.Meta)
	if err != nil {
		return err
	}
	io, err := newStreams(p)
	if err != nil {
		return err
	}
	defer io.abort()
	made, err := e.runtime.Exec(ctx, runtime.ExecOptions{ID: id, Bundle: e.options.Dir, Pid: s.pid, CgroupPath: s.cgroup, Spec: s.spec, Process: process, Stdio: io.theirs})
	if err != nil {
		return notStarted(err)
	}
	defer made.Pidfd.Close()
	return io.attend(ctx, child{made.Pid, made.Pidfd, made.Console, s.cgroup}, p)
}

// execProcess is the step's process with what meta says in place.
func execProcess(s *step, meta bk.Meta) (*specs.Process, error) {
	p := *s.spec.Process
	if meta.User != "" {
		uid, gid, more, err := oci.GetUser(s.rootfs, meta.User)
		if err != nil {
			return nil, fmt.Errorf("find user %q: %w", meta.User, err)
		}
		p.User = specs.User{UID: uid, GID: gid, AdditionalGids: more}
	}
	p.Args, p.Terminal = meta.Args, meta.Tty
	if meta.Cwd != "" {
		p.Cwd = meta.Cwd
	}
	if len(meta.Env) > 0 {
		p.Env = meta.Env
	}
	return &p, nil
}

// child is a process that runs in a step.
type child struct {
	pid     int
	pidfd   *os.File
	console *os.File // nil without a terminal
	cgroup  string
}

// streams join a process's descriptors with those of its user.
type streams struct {
	theirs [3]*os.File
	in     *os.File // our end of its input
	out    []*os.File
	copies sync.WaitGroup
}

// newStreams makes the pipes; a terminal needs none.
func newStreams(p bk.ProcessInfo) (_ *streams, err error) {
	s := &streams{}
	if p.Meta.Tty {
		return s, nil
	}
	defer func() {
		if err != nil {
			s.abort()
		}
	}()
	if p.Stdin == nil {
		s.theirs[0], err = os.Open(os.DevNull)
	} else {
		s.theirs[0], s.in, err = pipe(false, true)
	}
	for i := 1; i < 3 && err == nil; i++ {
		var ours *os.File
		ours, s.theirs[i], err = pipe(true, false)
		s.out = append(s.out, ours)
	}
	return s, err
}

// pipe makes a pipe of which the polled end is ours. The other must block, or a
// program that writes faster than its output is read gets an error for it.
func pipe(readPolled, writePolled bool) (r, w *os.File, err error) {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make a pipe: %w", err)
	}
	err = errors.Join(syscall.SetNonblock(fds[0], readPolled), syscall.SetNonblock(fds[1], writePolled))
	r, w = os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe")
	return r, w, err
}

// abort closes what is still open.
func (s *streams) abort() {
	for _, f := range slices.Concat(s.theirs[:], s.out, []*os.File{s.in}) {
		if f != nil {
			f.Close()
		}
	}
}

// attend carries input, output, signals and sizes until the process ends; with
// ctx it is killed.
func (s *streams) attend(ctx context.Context, c child, p bk.ProcessInfo) error {
	for i, f := range s.theirs {
		if f != nil {
			f.Close()
		}
		s.theirs[i] = nil
	}
	if c.console != nil {
		defer c.console.Close()
		s.in = nil
		s.pump(p.Stdout, c.console)
	} else {
		s.pump(p.Stdout, s.out[0])
		s.pump(p.Stderr, s.out[1])
	}
	if p.Stdin != nil {
		go feed(s.in, c.console, p.Stdin) // it ends when its user closes the input
	}
	ended := make(chan struct{})
	var helpers sync.WaitGroup
	helpers.Go(func() { control(ctx, c, p, ended) })
	status, err := wait(c.pid, c.pidfd)
	close(ended)
	helpers.Wait()
	s.copies.Wait()
	if err != nil {
		return fmt.Errorf("wait for the step: %w", err)
	}
	return verdict(ctx, status, c.cgroup, p.Meta.ValidExitCodes)
}

func (s *streams) pump(to io.Writer, from *os.File) {
	if to == nil {
		to = io.Discard
	}
	s.copies.Go(func() {
		if _, err := io.Copy(to, from); err != nil {
			_, _ = io.Copy(io.Discard, from) // the process must not wait for a reader that is gone
		}
	})
}

func feed(pipe, console *os.File, from io.Reader) {
	if console != nil {
		_, _ = io.Copy(console, from)
		return
	}
	_, _ = io.Copy(pipe, from)
	pipe.Close()
}

// control passes signals and sizes on.
func control(ctx context.Context, c child, p bk.ProcessInfo, ended <-chan struct{}) {
	done := ctx.Done()
	for {
		select {
		case <-ended:
			return
		case <-done:
			done = nil
			pidfd.Signal(c.pidfd, syscall.SIGKILL) //nolint:errcheck // it may have ended
		case sig := <-p.Signal:
			pidfd.Signal(c.pidfd, sig) //nolint:errcheck // it may have ended
		case size := <-p.Resize:
			if c.console != nil {
				tty.Resize(c.console, uint16(size.Cols), uint16(size.Rows)) //nolint:errcheck // a size is a wish
			}
		}
	}
}

// wait reaps a child.
func wait(pid int, f *os.File) (syscall.WaitStatus, error) {
	if err := pidfd.WaitExit(f); err != nil {
		return 0, err
	}
	status, _, err := pidfd.Reap(pid)
	return status, err
}

// verdict is nil if the exit code is one of those that are valid.
func verdict(ctx context.Context, status syscall.WaitStatus, cgroup string, valid []int) error {
	code := status.ExitStatus()
	if status.Signaled() {
		code = 128 + int(status.Signal())
	}
	if code == 0 && valid == nil || slices.Contains(valid, code) {
		return nil
	}
	exit := &gateway.ExitError{ExitCode: uint32(code)}
	switch killed, err := runtime.OOMKilled(cgroup); {
	case ctx.Err() != nil:
		exit.Err = errors.Join(context.Cause(ctx), errors.New(exit.Error()))
	case err == nil && killed:
		exit.Err = fmt.Errorf("%w: the step was killed for using more memory than it may", syscall.ENOMEM)
	}
	return exit
}
