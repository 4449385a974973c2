package bootstrap

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/passwd"
	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/timens"
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
	// This thread can start no other from then on: the lock leaves that to another.
	runtime.LockOSThread()
	text := wire.Offsets(offsets)
	err := timens.Make(text)
	if errors.Is(err, unix.ERANGE) {
		return &wire.Failure{Cause: wire.Invalid, Message: wire.OffsetsOutOfRange(text)}
	}
	return err
}
