// Package reaper is the init of a container that was started with --init: it
// runs the program as its child, passes signals on to it, reaps every process
// that ends, and ends with the program's exit code.
package reaper

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/program"
	"github.com/berth-containers/berth/internal/runtime/wire"
)

const (
	notExecutable = 126
	notFound      = 127
)

// Main runs "[--] command args…" and returns the exit code.
func Main(args []string) int {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "docker-init: no command; usage: docker-init -- command [args]")
		return notFound
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	child, err := start(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "docker-init: %v\n", err)
		if wire.FailureOf(err).Cause == wire.NotFound {
			return notFound
		}
		return notExecutable
	}
	for sig := range signals {
		switch sig {
		case syscall.SIGCHLD:
			if code, ok := reap(child); ok {
				return code
			}
		case syscall.SIGURG, syscall.SIGTTIN, syscall.SIGTTOU:
			// The Go runtime's own, and those of a terminal that is not ours.
		default:
			// The child may just have ended; its SIGCHLD follows.
			_ = syscall.Kill(child, sig.(syscall.Signal))
		}
	}
	return 1
}

// start runs the program in a process group of its own, in the foreground if
// there is a terminal.
func start(args []string) (int, error) {
	path, err := program.Find(args[0], os.Environ())
	if err != nil {
		return 0, err
	}
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setpgid: true}}
	if _, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err == nil {
		attr.Sys.Foreground, attr.Sys.Ctty = true, 0
	}
	pid, err := syscall.ForkExec(path, args, attr)
	if err != nil {
		return 0, &os.PathError{Op: "exec", Path: args[0], Err: err}
	}
	return pid, nil
}

// reap takes everything that has ended; ok is whether child was among it.
func reap(child int) (code int, ok bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return code, ok
		}
		if pid != child {
			continue
		}
		code, ok = status.ExitStatus(), true
		if status.Signaled() {
			code = 128 + int(status.Signal())
		}
	}
}
