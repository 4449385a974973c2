// Package timens makes time namespaces. The clocks of one are *offset* against the
// host's, until the first process is in it. A namespace lives as long as its
// descriptor is open or a process is in it, so a crash leaves none behind.
package timens

import (
	"fmt"
	"os"
	"path"
	"runtime"

	"golang.org/x/sys/unix"
)

// Make makes a time namespace for what the calling thread, which the caller
// locks, has as children. offsets has a line per clock: its name, seconds and nanoseconds.
// One that leads a clock out of its range is unix.ERANGE.
func Make(offsets string) error {
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return fmt.Errorf("make time namespace: %w", err)
	}
	if offsets == "" {
		return nil
	}
	// The namespace is this thread's, and the file exists per process: a thread's
	// number leads to its own.
	self, err := os.Readlink("/proc/thread-self")
	if err != nil {
		return fmt.Errorf("find the own thread: %w", err)
	}
	if err := os.WriteFile("/proc/"+path.Base(self)+"/timens_offsets", []byte(offsets), 0); err != nil {
		return fmt.Errorf("set the clocks' offsets: %w", err)
	}
	return nil
}

// New is Make for a caller that stays out of it.
func New(offsets string) (ns *os.File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, and stands for the process in /proc. While
			// this goroutine keeps it, the next one runs on another.
			defer runtime.UnlockOSThread()
			ns, err = New(offsets)
			return
		}
		// The thread ends with this goroutine, which keeps it.
		if err = Make(offsets); err != nil {
			return
		}
		if ns, err = os.Open("/proc/thread-self/ns/time_for_children"); err != nil {
			err = fmt.Errorf("open time namespace: %w", err)
		}
	}()
	<-done
	return ns, err
}

// ByExec is whether the kernel has a thread enter the namespace that it made when
// it executes a program, as Linux does from 6.2 on; else who joins it is in it.
func ByExec() (bool, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false, fmt.Errorf("ask for the kernel's release: %w", err)
	}
	return byExec(unix.ByteSliceToString(u.Release[:])), nil
}

func byExec(release string) bool {
	var major, minor int
	n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return n != 2 || major > 6 || major == 6 && minor >= 2
}
