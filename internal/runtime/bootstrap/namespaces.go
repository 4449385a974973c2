package bootstrap

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/passwd"
	"github.com/berth-containers/berth/internal/runtime/wire"
)

// protect keeps other processes from reaching into this one until execve.
func protect() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("protect the init: %w", err)
	}
	return nil
}

// enterUser makes the init a user of its user namespace: what it makes is then
// owned by one that the container knows.
func (s *starter) enterUser() error {
	err := s.setUser(passwd.User{UID: s.config.UID, GID: s.config.GID})
	return errors.Join(err, protect())
}

// newTime makes a time namespace, owned by the user namespace that we are in. The
// program's execve enters it; the offsets are fixed from then on.
func newTime(offsets []wire.TimeOffset) error {
	if err := switchesTime(); err != nil {
		return err
	}
	// This thread can start no other from then on: the lock leaves that to another.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return fmt.Errorf("make time namespace: %w", err)
	}
	if len(offsets) == 0 {
		return nil
	}
	// The namespace is this thread's, and the file exists per process: a thread's
	// number leads to its own.
	self, err := os.Readlink("/proc/thread-self")
	if err != nil {
		return fmt.Errorf("find the own thread: %w", err)
	}
	var text strings.Builder
	for _, o := range offsets {
		fmt.Fprintf(&text, "%s %d %d\n", o.Clock, o.Secs, o.Nanosecs)
	}
	err = writeProc("/proc/"+path.Base(self)+"/timens_offsets", text.String())
	if errors.Is(err, unix.ERANGE) {
		return &wire.Failure{Cause: wire.Invalid, Message: fmt.Sprintf("linux.timeOffsets leads a clock below 0 or beyond what the kernel can count: %s",
			strings.ReplaceAll(strings.TrimSpace(text.String()), "\n", ", "))}
	}
	if err != nil {
		return fmt.Errorf("set linux.timeOffsets: %w", err)
	}
	return nil
}

// switchesTime is an error on kernels whose execve stays in the old time namespace.
func switchesTime() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("ask for the kernel's release: %w", err)
	}
	var major, minor int
	release := unix.ByteSliceToString(u.Release[:])
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n == 2 && (major < 6 || major == 6 && minor < 2) {
		return &wire.Failure{Cause: wire.Invalid, Message: fmt.Sprintf("a new time namespace in linux.namespaces needs Linux 6.2 or newer; this is %s", release)}
	}
	return nil
}
