package bootstrap

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
)

const (
	listenerWanted = -1
	listenerFailed = -2

	// installPoll is how often is looked whether the filter is there, in
	// nanoseconds: a call that says so could be one that it holds back.
	installPoll = 50_000
)

// installListener installs a filter whose calls an agent decides. From then on
// this thread makes one call alone, a read that holds it back until the agent has
// the listener: another thread, without the filter, passes it to the runtime.
func (s *starter) installListener() (int, error) {
	var ready [2]int
	if err := unix.Pipe2(ready[:], unix.O_CLOEXEC); err != nil {
		return -1, err
	}
	// Both threads keep their processors while they are in the kernel.
	runtime.GOMAXPROCS(2)
	frame := append(wire.Header(wire.Listener, len(s.config.Listener)), s.config.Listener...)
	var listener atomic.Int32
	listener.Store(listenerWanted)
	running := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(running)
		passListener(int(s.conn), frame, &listener, ready[1])
	}()
	<-running
	fd, err := s.config.Seccomp.Install()
	if err != nil {
		listener.Store(listenerFailed)
		return -1, err
	}
	listener.Store(int32(fd))
	var told [1]byte
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(ready[0]), uintptr(unsafe.Pointer(&told[0])), 1)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return -1, fmt.Errorf("wait for the agent: read: %w; the profile must let it pass", errno)
		case n != 1:
			return -1, errors.New("wait for the agent: read returns nothing; the agent must let it pass")
		default:
			return fd, nil
		}
	}
}

// passListener waits for the listener, sends it with frame, and tells by ready
// that the runtime has passed it on. If that fails nobody will answer, so the
// process ends: nothing else of it can be sure to get as far as that.
func passListener(conn int, frame []byte, listener *atomic.Int32, ready int) {
	pause := unix.Timespec{Nsec: installPoll}
	for listener.Load() == listenerWanted {
		_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0)
	}
	fd := int(listener.Load())
	if fd == listenerFailed {
		return
	}
	err := unix.Sendmsg(conn, frame[:wire.HeaderSize], unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
	for rest := frame[wire.HeaderSize:]; err == nil && len(rest) > 0; {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(conn), uintptr(unsafe.Pointer(&rest[0])), uintptr(len(rest)))
		if errno != 0 {
			err = errno
			break
		}
		rest = rest[n:]
	}
	var answer [wire.HeaderSize]byte
	got := 0
	for err == nil && got < len(answer) {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(conn), uintptr(unsafe.Pointer(&answer[got])), uintptr(len(answer)-got))
		if errno != 0 || n == 0 {
			err = unix.EPIPE
		}
		got += int(n)
	}
	_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	if err != nil {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 1, 0, 0)
	}
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(ready), uintptr(unsafe.Pointer(&answer[0])), 1)
}
