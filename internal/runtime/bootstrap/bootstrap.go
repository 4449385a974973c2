// Package bootstrap is what berth-init does between the clone and the execve of
// the container's program: it is the first process in the new namespaces, makes
// the container around itself, and turns into the program.
//
// It runs on one thread, which the program inherits from. Until it has given up
// its privileges it is not dumpable, so that no process of the container can
// reach into it.
package bootstrap

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/rootfs"
	"github.com/berth-containers/berth/internal/runtime/wire"
)

// control is the socket to the runtime. Package os's files would start a poller.
type control int

func (c control) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(c), p)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (c control) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n, err := unix.Write(int(c), p[done:])
		if err != nil && err != unix.EINTR {
			return done, err
		}
		done += max(n, 0)
	}
	return len(p), nil
}

// starter is one run.
type starter struct {
	conn   control
	config wire.Config
	doors  doors
}

// Main is called by an init function, which stays on the first thread. It returns
// only if the program could not be executed; the runtime was told why.
func Main() int {
	s := starter{conn: wire.Control}
	f := wire.FailureOf(s.run())
	// Nobody is left to be told if this does not arrive.
	_ = wire.Write(s.conn, wire.Failed, f.Payload())
	return 1
}

// run returns only with an error.
func (s *starter) run() error {
	// As long as the user namespace has no map, nobody else can be in it.
	if os.Getenv(wire.UserEnv) == "" {
		if err := protect(); err != nil {
			return err
		}
	}
	if err := unix.CloseRange(3, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors at execve: %w", err)
	}
	payload, err := expect(s.conn, wire.Setup)
	if err != nil {
		return err
	}
	if err := s.config.Unpack(payload); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	if s.config.User {
		if err := s.enterUser(); err != nil {
			return err
		}
	}
	if _, err := unix.Setsid(); err != nil {
		return fmt.Errorf("start a session: %w", err)
	}
	if err := s.config.Attributes.Label.SetKeys(); err != nil {
		return err
	}
	if !s.config.KeepKeyring {
		if err := s.ownKeys(); err != nil {
			return err
		}
	}
	if s.config.Exec {
		err = s.enter()
	} else {
		err = s.create()
	}
	if err != nil {
		return err
	}
	return s.execute()
}

// ownKeys leaves the session keyring of whoever started the engine: keys are in
// no namespace.
func (s *starter) ownKeys() error {
	// The wrapper of x/sys cannot ask for one without a name, which nobody joins.
	_, _, e := unix.RawSyscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
	switch e {
	case 0, unix.ENOSYS, unix.EPERM:
		return nil // the kernel has no keys, or we are filtered like a container
	case unix.EDQUOT, unix.ENOMEM:
		s.warn("the session keyring is shared with the engine: %v", e)
		return nil
	}
	return fmt.Errorf("make a session keyring: %w", e)
}

// expect reads a frame that must be of kind k.
func expect(r io.Reader, k wire.Kind) ([]byte, error) {
	got, payload, err := wire.Read(r)
	if err != nil {
		return nil, fmt.Errorf("listen to the runtime: %w", err)
	}
	if got != k {
		return nil, fmt.Errorf("listen to the runtime: got %q, not %q", got, k)
	}
	return payload, nil
}

func (s *starter) warn(format string, args ...any) {
	// A warning that does not arrive is not worth the container.
	_ = wire.Write(s.conn, wire.Warning, fmt.Appendf(nil, format, args...))
}

// create makes the container and waits until it may start.
func (s *starter) create() error {
	c := &s.config
	if err := joinNamespaces(c.Joins); err != nil {
		return err
	}
	if c.NewTime {
		if err := newTime(c.TimeOffsets); err != nil {
			return err
		}
	}
	if c.NewNet {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("bring the loopback interface up: %w", err)
		}
	}
	if err := s.mounts(); err != nil {
		return err
	}
	if err := s.console(); err != nil {
		return err
	}
	if err := setNames(c.Hostname, c.Domainname); err != nil {
		return err
	}
	if err := s.workingDir(); err != nil {
		return err
	}
	if err := wire.Write(s.conn, wire.Ready, nil); err != nil {
		return fmt.Errorf("tell the runtime: %w", err)
	}
	return s.gate()
}

// mounts builds the root, first what has nothing to do with the cgroup.
func (s *starter) mounts() error {
	c := &s.config
	b, err := rootfs.Begin(&c.Root, s.ask)
	if err != nil {
		return err
	}
	// Through the host's /proc: the container's may be masked or missing.
	if err := s.kernelSettings(); err != nil {
		return err
	}
	if err := s.joined(); err != nil {
		return err
	}
	if err := b.MountCgroups(c.CgroupV2, c.NewCgroup); err != nil {
		return err
	}
	if err := s.createHooks(); err != nil {
		return err
	}
	return b.Finish()
}

// joined enters the cgroup and makes it the root of a cgroup namespace if there
// is to be one.
func (s *starter) joined() error {
	if err := s.doors.enter(s.conn); err != nil {
		return err
	}
	if !s.config.NewCgroup {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("make cgroup namespace: %w", err)
	}
	return nil
}

// gate waits for Start, from the runtime that made us or, across processes, from
// whoever connects to the socket that we were given.
func (s *starter) gate() error {
	if s.config.Gate {
		fd, _, err := unix.Accept4(wire.Extra, unix.SOCK_CLOEXEC)
		for err == unix.EINTR {
			fd, _, err = unix.Accept4(wire.Extra, unix.SOCK_CLOEXEC)
		}
		if err != nil {
			return fmt.Errorf("wait for the start: %w", err)
		}
		s.conn = control(fd)
	}
	_, err := expect(s.conn, wire.Start)
	return err
}

// enter joins a running container.
func (s *starter) enter() error {
	if err := s.ownSettings(); err != nil {
		return err
	}
	if err := s.doors.enter(s.conn); err != nil {
		return err
	}
	if err := setAffinity(s.config.Attributes.Affinity); err != nil {
		return err
	}
	if s.config.Joined {
		return s.entered()
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("leave the shared file system state: %w", err)
	}
	isRoot := s.config.ExecFlags&unix.CLONE_NEWNS != 0
	if isRoot {
		chrooted, err := chrooted()
		if err != nil {
			return fmt.Errorf("compare the runtime's root with its mount namespace's: %w", err)
		}
		isRoot = !chrooted
	}
	if err := s.joinContainer(); err != nil {
		return err
	}
	// To join the mount namespace leads to its root. That is the container's, also
	// when its first process has chosen another one for itself, unless the
	// container was made in a chroot.
	if !isRoot {
		if err := errors.Join(unix.Fchdir(wire.RootDir), unix.Chroot(".")); err != nil {
			return fmt.Errorf("enter the container's root: %w", err)
		}
	}
	if err := s.console(); err != nil {
		return err
	}
	return s.workingDir()
}

// entered is the rest if the runtime joined the mount namespace: the working
// directory is its root.
func (s *starter) entered() error {
	if err := s.joinContainer(); err != nil {
		return err
	}
	if err := s.console(); err != nil {
		return err
	}
	return s.workingDir()
}

// joinContainer joins those of its namespaces that are left.
func (s *starter) joinContainer() error {
	if s.config.ExecFlags == 0 {
		return nil
	}
	if err := unix.Setns(wire.Extra, s.config.ExecFlags); err != nil {
		return fmt.Errorf("join the container's namespaces: %w", err)
	}
	return nil
}

// chrooted is whether this process began in another root than that of its mount
// namespace, to which it then goes.
func chrooted() (bool, error) {
	before, err := mountOfRoot()
	if err != nil {
		return false, err
	}
	fd, err := unix.Open("/proc/self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	if err := errors.Join(unix.Setns(fd, unix.CLONE_NEWNS), unix.Close(fd)); err != nil {
		return false, err
	}
	after, err := mountOfRoot()
	return before != after, err
}

// place is a directory of a mount.
type place struct{ mount, inode uint64 }

func mountOfRoot() (place, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, "/", 0, unix.STATX_INO|unix.STATX_MNT_ID, &st)
	return place{st.Mnt_id, st.Ino}, err
}
