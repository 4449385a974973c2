// Package hooks runs the programs that a specification names for the moments of
// a container's life. The runtime runs those of its own namespaces, the init
// those of the container's; each gets the container's state on its standard
// input.
//
// A hook gets no environment but its own; descriptors above its stdio are the
// caller's to mark close-on-exec. One that takes longer than its timeout is killed with its process
// group. A crash of whoever runs a hook leaves the hook running: it is a program
// of the administrator's, which may be in the middle of something.
package hooks

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxOutput is how much of what a failed hook wrote last is in the error.
const maxOutput = 4 << 10

// Check is an error that names the field that makes h impossible to run.
func Check(h *specs.Hooks) error {
	if h == nil {
		return nil
	}
	for _, kind := range []struct {
		name string
		list []specs.Hook
	}{
		//lint:ignore SA1019 it is in use
		{"prestart", h.Prestart},
		{"createRuntime", h.CreateRuntime}, {"createContainer", h.CreateContainer},
		{"startContainer", h.StartContainer}, {"poststart", h.Poststart}, {"poststop", h.Poststop},
	} {
		for i, hook := range kind.list {
			field := fmt.Sprintf("hooks.%s[%d]", kind.name, i)
			if !filepath.IsAbs(hook.Path) {
				return fmt.Errorf("%s.path %q is not absolute", field, hook.Path)
			}
			if hook.Timeout != nil && *hook.Timeout <= 0 {
				return fmt.Errorf("%s.timeout %d is not greater than zero", field, *hook.Timeout)
			}
		}
	}
	return nil
}

// WithPid adds a process ID to a state that is a JSON object with other members.
func WithPid(state string, pid int) string {
	return strings.TrimSuffix(state, "}") + `,"pid":` + strconv.Itoa(pid) + "}"
}

// Run runs the hooks of a kind one after the other until one fails. It waits as
// long as they take, or their timeouts allow.
func Run(kind string, list []specs.Hook, state string) error {
	for i, h := range list {
		if err := run(h, state); err != nil {
			return fmt.Errorf("hooks.%s[%d] %s: %w", kind, i, h.Path, err)
		}
	}
	return nil
}

// RunAll runs every hook, also after one that fails.
func RunAll(kind string, list []specs.Hook, state string) error {
	var all []error
	for i, h := range list {
		if err := run(h, state); err != nil {
			all = append(all, fmt.Errorf("hooks.%s[%d] %s: %w", kind, i, h.Path, err))
		}
	}
	return errors.Join(all...)
}

func run(h specs.Hook, state string) error {
	// Files of memory, not pipes: a hook that does not read, or a process that
	// it leaves behind, must not hold anybody up.
	stdin, err := memory("state", state)
	if err != nil {
		return err
	}
	defer unix.Close(stdin)
	output, err := memory("output", "")
	if err != nil {
		return err
	}
	defer unix.Close(output)
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	pidfd := -1
	pid, err := syscall.ForkExec(h.Path, args, &syscall.ProcAttr{
		Env: h.Env, Files: []uintptr{uintptr(stdin), uintptr(output), uintptr(output)},
		Sys: &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd},
	})
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	timedOut := h.Timeout != nil && !endsWithin(pidfd, time.Duration(*h.Timeout)*time.Second)
	if timedOut {
		// It is not reaped, so the group is still its own.
		_ = unix.Kill(-pid, unix.SIGKILL)
	}
	status, err := wait(pid)
	switch {
	case err != nil:
		return fmt.Errorf("wait: %w", err)
	case timedOut:
		return fmt.Errorf("killed after its timeout of %d s%s", *h.Timeout, said(output))
	case status.Signaled():
		return fmt.Errorf("ended by signal %v%s", status.Signal(), said(output))
	case status.ExitStatus() != 0:
		return fmt.Errorf("exit status %d%s", status.ExitStatus(), said(output))
	}
	return nil
}

func memory(name, text string) (int, error) {
	fd, err := unix.MemfdCreate("hook-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("make the hook's %s: %w", name, err)
	}
	for at := 0; at < len(text); {
		n, err := unix.Pwrite(fd, []byte(text[at:]), int64(at))
		if err != nil {
			return -1, errors.Join(fmt.Errorf("write the hook's %s: %w", name, err), unix.Close(fd))
		}
		at += n
	}
	return fd, nil
}

// said is the end of what was written, for an error.
func said(output int) string {
	var st unix.Stat_t
	if unix.Fstat(output, &st) != nil {
		return ""
	}
	text := make([]byte, min(st.Size, maxOutput))
	n, _ := unix.Pread(output, text, st.Size-int64(len(text)))
	if s := strings.TrimSpace(string(text[:max(n, 0)])); s != "" {
		return ": " + s
	}
	return ""
}

func endsWithin(pidfd int, d time.Duration) bool {
	deadline := time.Now().Add(d)
	for {
		left := max(time.Until(deadline), 0)
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(min(left.Milliseconds()+1, 1<<30)))
		if err == nil && n > 0 {
			return true
		}
		if err != nil && err != unix.EINTR || left == 0 {
			return false
		}
	}
}

func wait(pid int) (syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if err != syscall.EINTR {
			return status, err
		}
	}
}
