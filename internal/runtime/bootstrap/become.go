package bootstrap

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/passwd"
	"github.com/berth-containers/berth/internal/runtime/program"
	"github.com/berth-containers/berth/internal/sys/caps"
)

// become changes user and capabilities, finds the program as that user, and
// installs the seccomp filter. That is last, so that a profile has to allow no
// call but execve for us; without no_new_privs it needs CAP_SYS_ADMIN and comes
// before the capabilities go.
func (s *starter) become(u passwd.User, sets caps.Sets, env []string) (path string, err error) {
	have, err := caps.Current()
	if err != nil {
		return "", err
	}
	if err := caps.DropBounding(sets.Bounding); err != nil {
		return "", err
	}
	if err := s.setUser(u); err != nil {
		return "", err
	}
	if s.config.Process.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return "", fmt.Errorf("set no_new_privs: %w", err)
		}
	}
	privileged := s.config.Seccomp != nil && !s.config.Process.NoNewPrivileges
	now := sets
	if privileged {
		now = caps.Sets{Effective: sets.Effective & have, Permitted: have}
	}
	if err := caps.Apply(now); err != nil {
		return "", err
	}
	if path, err = program.Find(s.config.Process.Args[0], env); err != nil {
		return "", err
	}
	resetSignals()
	if s.config.Seccomp == nil {
		return path, nil
	}
	restoreLimit()
	if privileged {
		if err := caps.Apply(caps.Sets{Effective: have, Permitted: have}); err != nil {
			return "", err
		}
	}
	if err := s.install(); err != nil {
		return "", err
	}
	if privileged {
		err = caps.Apply(sets)
	}
	return path, err
}

// install puts the filter on this thread, and hands over its listener.
func (s *starter) install() error {
	install := s.config.Seccomp.Install
	if s.config.Seccomp.Notifies() {
		install = s.installListener
	}
	if _, err := install(); err != nil {
		return fmt.Errorf("install the seccomp filter: %w", err)
	}
	return nil
}

// restoreLimit takes back what package os did to RLIMIT_NOFILE, which only
// syscall.Exec knows. There it would be a call that the filter sees.
func restoreLimit() {
	_ = syscall.Exec("", []string{""}, []string{""}) // ENOENT
}

// resetSignals gives the program default dispositions and an empty mask,
// whatever the caller of the runtime ignored. execve resets only handlers.
func resetSignals() {
	type sigaction struct {
		handler, flags, restorer uintptr
		mask                     uint64
	}
	var dfl sigaction
	for sig := uintptr(1); sig <= 64; sig++ {
		if sig == uintptr(unix.SIGKILL) || sig == uintptr(unix.SIGSTOP) {
			continue
		}
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&dfl)), 0, 8, 0, 0)
	}
	var none uint64
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
}
