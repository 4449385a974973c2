package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/caps"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/process"
	"github.com/berth-containers/berth/internal/sys/spawn"
)

// undoTimeout bounds taking back what failed.
const undoTimeout = 10 * time.Second

// initEnv keeps the init quick: it lives for a millisecond and has one thread's
// worth of work.
var initEnv = [...]string{"GOMAXPROCS=1", "GOGC=off"}

// child is an init that was started, until its program runs.
type child struct {
	pid      int
	pidfd    *os.File
	conn     conn
	console  *os.File
	warnings []string
	provider *provider    // nil: an exec's
	hooks    func() error // what to do when the init asks for hooks
	devices  *netDevices  // nil: none was moved to it
}

// start describes how a child comes to life.
type start struct {
	clone    int
	group    *cgroup.Group // nil: the caller's
	pidNS    string        // joined around the fork
	pidOf    int           // as pidNS, of this process
	extra    *os.File
	root     *os.File
	stdio    [3]*os.File
	terminal bool
	extras   []*os.File // the program's descriptors from 3 on
	affinity process.Mask

	users  *idMap       // of a new user namespace
	joins  []spawn.Join // before the init is there
	become *[2]uint32   // the init's user and group, if joins have a user namespace
}

// setUp tells the init what to do.
func (c *child) setUp(config *wire.Config) error { return c.send(wire.Setup, config.Pack()) }

// open hands the init the doors of its cgroups, for which it waits once it has
// done what comes before.
func (c *child) open(doors []*os.File) error {
	return ignoreGone(c.conn.sendFiles(append(wire.Header(wire.Doors, 1), byte(len(doors))), doors))
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// start starts an init, which waits for setUp. The caller reaps it.
func (r *Runtime) start(s start) (c *child, err error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	defer func() {
		if err != nil {
			ours.Close()
		}
	}()
	files := []*os.File{nil, nil, nil, theirs, r.init}
	if !s.terminal {
		for i, f := range s.stdio {
			files[i] = r.harmless(f)
		}
	}
	files = append(files, s.extra, s.root)
	for _, f := range s.extras {
		if f != nil {
			files = append(files, r.harmless(f))
		}
	}
	pidfd := -1
	attr := &syscall.ProcAttr{Env: initEnv[:], Sys: &syscall.SysProcAttr{Cloneflags: uintptr(s.clone), PidFD: &pidfd}}
	if s.clone&unix.CLONE_NEWUSER != 0 {
		attr.Env = append(attr.Env, wire.UserEnv+"=new")
		// Nobody is root there yet, whom execve would leave the capabilities.
		for c := range caps.Names() {
			attr.Sys.AmbientCaps = append(attr.Sys.AmbientCaps, uintptr(c))
		}
	}
	for _, f := range files {
		attr.Files = append(attr.Files, rawFd(f))
	}
	pid, err := s.fork(r, attr)
	runtime.KeepAlive(files)
	if err != nil {
		return nil, err
	}
	// Package pidfd waits in the poller.
	if err := unix.SetNonblock(pidfd, true); err != nil {
		return nil, err
	}
	c = &child{pid: pid, pidfd: os.NewFile(uintptr(pidfd), "pidfd"), conn: ours}
	if s.users != nil {
		if err := s.users.write(pid); err != nil {
			return nil, errors.Join(err, c.kill(context.Background()))
		}
	}
	return c, nil
}

// rawFd is f's descriptor; unlike Fd it leaves a non-blocking one as it is.
func rawFd(f *os.File) uintptr {
	fd := ^uintptr(0)
	if f == nil {
		return fd
	}
	conn, err := f.SyscallConn()
	if err == nil {
		err = conn.Control(func(n uintptr) { fd = n })
	}
	if err != nil {
		return ^uintptr(0)
	}
	return fd
}

// numbers are the program's numbers for extras that are there. None is passed
// for the others: what the init's own start opened would be in its place.
func numbers(extras []*os.File) []int {
	var list []int
	for i, f := range extras {
		if f != nil {
			list = append(list, 3+i)
		}
	}
	return list
}

// fork starts the process, in the pid namespace that is to be joined, if any.
func (s start) fork(r *Runtime, attr *syscall.ProcAttr) (int, error) {
	var dir *os.File
	if s.group != nil && s.group.Dir() != "" {
		var err error
		if dir, err = os.Open(s.group.Dir()); err != nil {
			return 0, fmt.Errorf("open cgroup: %w", err)
		}
		defer dir.Close()
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(rawFd(dir))
	}
	path := fmt.Sprintf("/proc/self/fd/%d", wire.Self)
	run := func() (int, error) {
		pid, err := syscall.ForkExec(path, []string{"berth-init"}, attr)
		if errors.Is(err, unix.EPERM) && s.clone != 0 && s.clone&unix.CLONE_NEWUSER == 0 {
			return 0, errdefs.ErrPermissionDenied.WithMessage("the namespaces of the container cannot be made (" + err.Error() +
				"): without privileges a container needs a user namespace; add one to linux.namespaces, with its mappings")
		}
		if err != nil {
			return 0, fmt.Errorf("start the container init: %w", err)
		}
		return pid, nil
	}
	if len(s.joins) > 0 {
		run = func() (int, error) { return s.ahead(r, attr, dir) }
	}
	if s.affinity != nil {
		run = onProcessors(s.affinity, run)
	}
	var ns *os.File
	switch {
	case s.pidOf != 0:
		s.pidNS = fmt.Sprintf("/proc/%d/ns/pid", s.pidOf)
		fallthrough
	case s.pidNS != "":
		var err error
		if ns, err = os.Open(s.pidNS); err != nil {
			return 0, fmt.Errorf("open pid namespace: %w", err)
		}
		defer ns.Close()
		return r.inPidNamespace(ns, run)
	}
	return run()
}

// onProcessors makes fork's child begin on processors, in the calling thread,
// which goes on where it was.
func onProcessors(processors process.Mask, fork func() (int, error)) func() (int, error) {
	return func() (int, error) {
		runtime.LockOSThread()
		before, err := process.Affinity()
		if err != nil {
			runtime.UnlockOSThread()
			return 0, err
		}
		if err := process.SetAffinity(processors); err != nil {
			runtime.UnlockOSThread()
			return 0, fmt.Errorf("set process.execCPUAffinity.initial: %w", err)
		}
		pid, err := fork()
		// A thread that stays bound is given up.
		if process.SetAffinity(before) == nil {
			runtime.UnlockOSThread()
		}
		return pid, err
	}
}

// ahead starts the process in namespaces that are joined before.
func (s start) ahead(r *Runtime, attr *syscall.ProcAttr, group *os.File) (int, error) {
	pid, err := spawn.Start(spawn.Program{Binary: int(rawFd(r.init)), Args: []string{"berth-init"}, Env: attr.Env, Files: attr.Files,
		Joins: s.joins, Become: s.become, Clone: s.clone, Cgroup: group})
	if err != nil {
		return 0, fmt.Errorf("start the container init: %w", err)
	}
	// It is not reaped by anybody but the caller, so the number is its.
	*attr.Sys.PidFD, err = unix.PidfdOpen(pid, 0)
	if err != nil {
		return 0, fmt.Errorf("open the container init: %w", err)
	}
	return pid, nil
}

// inPidNamespace calls fork on a thread whose children are born in ns. A thread
// that cannot come back is given up.
func (r *Runtime) inPidNamespace(ns *os.File, fork func() (int, error)) (int, error) {
	type result struct {
		pid int
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		own, err := os.Open("/proc/self/ns/pid") // to come back to
		if err == nil {
			err = unix.Setns(int(rawFd(ns)), unix.CLONE_NEWPID)
		}
		if err != nil {
			done <- result{err: fmt.Errorf("join pid namespace: %w", err)}
			return
		}
		pid, err := fork()
		if unix.Setns(int(rawFd(own)), unix.CLONE_NEWPID) == nil {
			runtime.UnlockOSThread()
		}
		own.Close()
		done <- result{pid, err}
	}()
	res := <-done
	return res.pid, res.err
}

// send tells the init something. That an init is gone is found out by listen,
// which knows why.
func (c *child) send(k wire.Kind, payload []byte) error {
	return ignoreGone(wire.Write(c.conn, k, payload))
}

// ignoreGone leaves it to listen, which knows why the init is gone.
func ignoreGone(err error) error {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// listen takes what the init says until it is ready; the end of the stream means
// that the program runs.
func (c *child) listen(ctx context.Context) (ready bool, err error) {
	stop := context.AfterFunc(ctx, func() { c.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		kind, payload, file, err := receive(c.conn)
		if file != nil && kind == wire.Console {
			c.console = file
		} else if file != nil {
			defer file.Close()
		}
		if ctx.Err() != nil && err != nil {
			return false, ctx.Err()
		}
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("listen to the container init: %w", err)
		}
		switch kind {
		case wire.Ready:
			return true, nil
		case wire.Failed:
			return false, failure(wire.ParseFailure(payload))
		case wire.Warning:
			c.warnings = append(c.warnings, string(payload))
		case wire.Ask:
			if err := c.answer(payload); err != nil {
				return false, fmt.Errorf("make a mount for the container init: %w", err)
			}
		case wire.Listener:
			if err := c.passListener(ctx, payload, file); err != nil {
				return false, err
			}
		case wire.Hooks:
			if c.hooks == nil {
				return false, errors.New("the container init asks for hooks of a container that it does not make")
			}
			if err := c.hooks(); err != nil {
				return false, err
			}
			if err := c.send(wire.Hooks, nil); err != nil {
				return false, err
			}
		}
	}
}

// receive reads one frame and the descriptor that came with it, if any.
func receive(c conn) (kind wire.Kind, payload []byte, file *os.File, err error) {
	var header [wire.HeaderSize]byte
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, err := c.readMessage(header[:], oob)
	if err != nil {
		return 0, nil, nil, err
	}
	if _, err = io.ReadFull(c, header[n:]); err != nil {
		return 0, nil, nil, err
	}
	kind, size, err := wire.ParseHeader(header[:])
	if err != nil {
		return 0, nil, nil, err
	}
	if oobn > 0 {
		if file, err = passed(oob[:oobn], kind == wire.Console); err != nil {
			return 0, nil, nil, err
		}
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(c, payload)
	return kind, payload, file, err
}

// passed returns a descriptor; with polled it is set to wait in the poller.
func passed(oob []byte, polled bool) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return nil, err
	}
	if err := unix.SetNonblock(fds[0], polled); err != nil {
		return nil, errors.Join(err, unix.Close(fds[0]))
	}
	return os.NewFile(uintptr(fds[0]), "passed"), nil
}

// failure turns what the init says into an error of its kind.
func failure(f *wire.Failure) error {
	switch f.Cause {
	case wire.NotFound:
		return errdefs.ErrNotFound.WithMessage(f.Message)
	case wire.Denied:
		return errdefs.ErrPermissionDenied.WithMessage(f.Message)
	case wire.Invalid:
		return errdefs.ErrInvalidArgument.WithMessage(f.Message)
	}
	return errors.New(f.Message)
}

// alive returns an error if the init ended without a word: it was killed.
func (c *child) alive() error {
	if hasEnded(c.pidfd) {
		return errors.New("the container init was killed before it was ready; is its memory limit very low?")
	}
	return nil
}

func hasEnded(pidfd *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(rawFd(pidfd)), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1
}

// kill ends and reaps a child that did not get as far as its caller.
func (c *child) kill(context.Context) error {
	c.conn.Close()
	if c.console != nil {
		c.console.Close()
	}
	// It may have ended by itself.
	err := unix.PidfdSendSignal(int(rawFd(c.pidfd)), unix.SIGKILL, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		err = nil
	}
	var status syscall.WaitStatus
	for {
		_, waitErr := syscall.Wait4(c.pid, &status, 0, nil)
		if waitErr != syscall.EINTR {
			break
		}
	}
	return errors.Join(err, c.pidfd.Close())
}
