// Package netns makes network namespaces and enters them. A namespace lives as
// long as its descriptor is open or a process is in it; nothing is mounted, so
// a crash leaves none behind.
package netns

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Current is the calling thread's network namespace.
func Current() (*os.File, error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open own network namespace: %w", err)
	}
	return f, nil
}

// New makes a network namespace and runs setup on a thread inside it. It needs
// CAP_SYS_ADMIN.
func New(setup func(ns *os.File) error) (*os.File, error) {
	var ns *os.File
	err := away(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		f, err := Current()
		if err != nil {
			return err
		}
		if err := setup(f); err != nil {
			f.Close()
			return err
		}
		ns = f
		return nil
	})
	if err != nil && ns != nil {
		ns.Close()
		ns = nil
	}
	return ns, err
}

// Do runs f on a thread inside ns.
func Do(ns *os.File, f func() error) error {
	return away(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// away runs f on a thread of its own and brings the thread back. A thread that
// cannot be brought back ends with its goroutine, so no other code runs on it.
func away(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread stays: /proc/<pid>/net and ns/net are its. While
			// this goroutine keeps it, the next one runs on another.
			defer runtime.UnlockOSThread()
			done <- away(f)
			return
		}
		back, err := visit(f)
		if back {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// visit runs f, which may change the thread's namespace, and goes back.
func visit(f func() error) (back bool, err error) {
	home, err := Current()
	if err != nil {
		return true, err
	}
	defer home.Close()
	err = f()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		return false, fmt.Errorf("leave network namespace: %w", err)
	}
	return true, err
}
