package runtime

import (
	"errors"
	"fmt"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/spawn"
)

// join opens the namespaces that are joined before the init of a new container is
// there. The caller closes the files when it is. The cgroup namespace is the
// init's: it must be in its cgroup first.
func (s *start) join(p plan, l *specs.Linux) (files []*os.File, err error) {
	list := p.joins
	if p.pidPath != "" {
		list = append(slices.Clone(list), wire.Join{Flag: unix.CLONE_NEWPID, Path: p.pidPath})
		s.pidNS = ""
	}
	for _, j := range list {
		if j.Flag == unix.CLONE_NEWCGROUP {
			continue
		}
		f, err := os.Open(j.Path)
		if err != nil {
			return files, fmt.Errorf("open namespace: %w", err)
		}
		files = append(files, f)
		if j.Flag == unix.CLONE_NEWUSER {
			// The kernel refuses the one that the caller is in, since nothing is to be gained.
			same, err := isOwnUser(f)
			if err != nil {
				return files, err
			}
			if same {
				continue
			}
			s.become = &[2]uint32{first(l.UIDMappings), first(l.GIDMappings)}
		}
		s.joins = append(s.joins, spawn.Join{FD: int(rawFd(f)), Flags: j.Flag, Name: "namespace " + j.Path})
	}
	return files, nil
}

func isOwnUser(ns *os.File) (bool, error) {
	var own, other unix.Stat_t
	err := errors.Join(unix.Stat("/proc/self/ns/user", &own), unix.Fstat(int(rawFd(ns)), &other))
	if err != nil {
		return false, fmt.Errorf("compare user namespaces: %w", err)
	}
	return own.Dev == other.Dev && own.Ino == other.Ino, nil
}

// enter says how an exec gets into the container's namespaces. With a user namespace
// all are joined at once and before the init is there: the kernel then takes the
// caller's rights for each, and the init is never seen in the container as the host's
// user or in the host's root. Otherwise the init joins what it can by itself.
func (s *start) enter(config *wire.Config, p plan, o ExecOptions) {
	join := func(flags int) {
		s.joins = []spawn.Join{{FD: int(rawFd(s.extra)), Flags: flags, Name: "the container's namespaces"}}
	}
	l := o.Spec.Linux
	const early = unix.CLONE_NEWPID | unix.CLONE_NEWTIME
	switch {
	case p.all&unix.CLONE_NEWUSER != 0:
		join(p.all &^ unix.CLONE_NEWCGROUP)
		s.become = &[2]uint32{first(l.UIDMappings), first(l.GIDMappings)}
		config.User, config.UID, config.GID, config.Joined = true, s.become[0], s.become[1], true
		config.ExecFlags = p.all & unix.CLONE_NEWCGROUP
	case p.all&unix.CLONE_NEWTIME != 0:
		join(p.all & early)
		config.ExecFlags = p.all &^ early
	default:
		// It joins the pid namespace by being born in it.
		config.ExecFlags = p.all &^ unix.CLONE_NEWPID
		if p.all&unix.CLONE_NEWPID != 0 {
			s.pidOf = o.Pid
		}
	}
}
