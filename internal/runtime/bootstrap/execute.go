package bootstrap

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/passwd"
	"github.com/berth-containers/berth/internal/runtime/program"
	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/caps"
	"github.com/berth-containers/berth/internal/sys/process"
)

// execute gives up what the program is not to have and becomes it.
func (s *starter) execute() error {
	p := s.config.Process
	user, err := s.user()
	if err != nil {
		return err
	}
	sets, err := s.capabilities()
	if err != nil {
		return err
	}
	chownStdio(user)
	if p.User.Umask != nil {
		unix.Umask(int(*p.User.Umask))
	} else {
		unix.Umask(0o022)
	}
	if err := s.rlimits(p.Rlimits); err != nil {
		return err
	}
	if err := s.preserve(); err != nil {
		return err
	}
	if err := setAttributes(&s.config.Attributes); err != nil {
		return err
	}
	env := environment(p.Env, s.config.ListenFDs, user.Home)
	path, err := s.become(user, sets, env)
	if err != nil {
		return err
	}
	if err := s.startHooks(); err != nil {
		return err
	}
	return run(path, p.Args, env)
}

// run executes the file at path; it returns only with an error.
func run(path string, args, env []string) error {
	err := syscall.Exec(path, args, env)
	switch {
	case errors.Is(err, unix.ENOENT):
		// The file is there, but not what interprets it.
		return &wire.Failure{Cause: wire.NotFound, Message: fmt.Sprintf("exec %s: no such file or directory", path)}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return program.Denied(args[0])
	case errors.Is(err, unix.ENOEXEC):
		return &wire.Failure{Cause: wire.Denied, Message: fmt.Sprintf("exec %s: exec format error", path)}
	case errors.Is(err, unix.E2BIG):
		return &wire.Failure{Cause: wire.Invalid, Message: fmt.Sprintf("exec %s: argument list too long: "+
			"the arguments and the environment are more than the kernel takes; give large data by a file or stdin", path)}
	}
	return fmt.Errorf("exec %s: %w", path, err)
}

// user is whom the program runs as.
func (s *starter) user() (passwd.User, error) {
	u := s.config.Process.User
	file, err := passwd.ReadFile("/etc/passwd")
	if err != nil {
		return passwd.User{}, fmt.Errorf("read the container's users: %w", err)
	}
	result := passwd.User{UID: u.UID, GID: u.GID}
	if u.Username == "" {
		result.Home = passwd.Home(u.UID, file)
	} else {
		groups, err := passwd.ReadFile("/etc/group")
		if err != nil {
			return passwd.User{}, fmt.Errorf("read the container's groups: %w", err)
		}
		if result, err = passwd.Lookup(u.Username, file, groups); err != nil {
			return passwd.User{}, &wire.Failure{Cause: wire.Invalid, Message: err.Error()}
		}
	}
	result.Groups = append(result.Groups, u.AdditionalGids...)
	return result, nil
}

// capabilities are the sets of the process, without what we cannot give.
func (s *starter) capabilities() (caps.Sets, error) {
	c := s.config.Process.Capabilities
	if c == nil {
		c = &specs.LinuxCapabilities{}
	}
	have, err := caps.Current()
	if err != nil {
		return caps.Sets{}, err
	}
	var all []string
	parse := func(list []string) caps.Set {
		set, unknown := caps.Parse(list)
		all = append(all, unknown...)
		return set
	}
	sets := caps.Sets{Bounding: parse(c.Bounding), Effective: parse(c.Effective), Permitted: parse(c.Permitted),
		Inheritable: parse(c.Inheritable), Ambient: parse(c.Ambient)}
	if len(all) > 0 {
		slices.Sort(all)
		s.warn("process.capabilities: unknown, and left out: %s", strings.Join(slices.Compact(all), " "))
	}
	if lost := sets.Ambient &^ sets.Inheritable; lost != 0 {
		// The specifications that runc and crun make have this; nobody can give it.
		s.warn("process.capabilities: ambient but not inheritable, and left out: %s", lost)
		sets.Ambient &^= lost
	}
	got, err := granted(sets, have)
	if err != nil {
		return caps.Sets{}, err
	}
	if missing := sets.Permitted&^got.Permitted | sets.Inheritable&^got.Inheritable; missing != 0 {
		s.warn("process.capabilities: the runtime does not have, and cannot give: %s", missing)
	}
	return got, nil
}

// granted are the sets without what the caller lacks.
func granted(sets caps.Sets, have caps.Set) (caps.Sets, error) {
	sets.Permitted &= have
	sets.Effective &= have
	sets.Ambient &= have
	if sets.Inheritable == 0 {
		return sets, nil
	}
	bounding, err := caps.Bounding()
	if err != nil {
		return caps.Sets{}, err
	}
	sets.Inheritable &= bounding
	sets.Ambient &= bounding // it is within the inheritable set
	return sets, nil
}

// setUser changes the thread's user; package syscall's calls would change all
// threads, with signals.
func (s *starter) setUser(u passwd.User) error {
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	if err := s.setGroups(u.Groups); err != nil {
		return err
	}
	gid, uid := uintptr(u.GID), uintptr(u.UID)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); e != 0 {
		return fmt.Errorf("set group %d: %w", u.GID, unmapped(e, s.config.User, "gidMappings"))
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); e != 0 {
		return fmt.Errorf("set user %d: %w", u.UID, unmapped(e, s.config.User, "uidMappings"))
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	// With fs.suid_dumpable the change has made it dumpable.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("protect the init: %w", err)
	}
	return nil
}

func (s *starter) setGroups(groups []uint32) error {
	var list unsafe.Pointer
	if len(groups) > 0 {
		list = unsafe.Pointer(&groups[0])
	}
	_, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(list), 0)
	switch {
	case e == 0:
		return nil
	case e == unix.EPERM && s.config.User && len(groups) == 0:
		return nil // the map of a user who may not leave groups: they stay, unknown in the container
	case e == unix.EPERM && s.config.User:
		return &wire.Failure{Cause: wire.Invalid, Message: fmt.Sprintf("the groups %v cannot be set: in this user namespace setgroups is denied, "+
			"since linux.gidMappings maps the own group only; take the groups out, or map more", groups)}
	}
	return fmt.Errorf("set groups %v: %w", groups, unmapped(e, s.config.User, "gidMappings"))
}

// unmapped explains why an ID is refused in a user namespace.
func unmapped(e unix.Errno, user bool, field string) error {
	if e == unix.EINVAL && user {
		return &wire.Failure{Cause: wire.Invalid, Message: "linux." + field + " does not map it"}
	}
	return e
}

// chownStdio lets the user open /dev/stdout again. A descriptor that cannot be
// given away is left as it is.
func chownStdio(u passwd.User) {
	for fd := range 3 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Uid == u.UID {
			continue
		}
		kind := st.Mode & unix.S_IFMT
		terminal := kind == unix.S_IFCHR && st.Rdev != unix.Mkdev(1, 3)
		if terminal || kind == unix.S_IFIFO {
			_ = unix.Fchown(fd, int(u.UID), int(st.Gid))
		}
	}
}

// rlimits sets the limits. A hard limit that may not be raised stays, and the
// soft one goes as high as it allows.
func (s *starter) rlimits(list []specs.POSIXRlimit) error {
	for _, l := range list {
		resource, ok := process.LimitNumber(l.Type)
		if !ok {
			return &wire.Failure{Cause: wire.Invalid, Message: fmt.Sprintf("unknown rlimit %q", l.Type)}
		}
		want := unix.Rlimit{Cur: l.Soft, Max: l.Hard}
		err := unix.Setrlimit(resource, &want)
		if errors.Is(err, unix.EPERM) {
			var have unix.Rlimit
			if err := unix.Getrlimit(resource, &have); err != nil {
				return fmt.Errorf("get %s: %w", l.Type, err)
			}
			want = unix.Rlimit{Cur: min(l.Soft, have.Max), Max: min(l.Hard, have.Max)}
			s.warn("%s %d:%d is above what the host allows; it is %d:%d", l.Type, l.Soft, l.Hard, want.Cur, want.Max)
			err = unix.Setrlimit(resource, &want)
		}
		if err != nil {
			return fmt.Errorf("set %s to %d:%d: %w", l.Type, l.Soft, l.Hard, err)
		}
	}
	return nil
}
