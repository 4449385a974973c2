package bootstrap

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/process"
)

// environment is the program's: of a name that is there more than once the last
// value counts, as programs differ in which one they find.
func environment(env []string, listen int, home string) []string {
	if listen > 0 {
		// Nothing but this process itself is to take the sockets.
		env = append(env, "LISTEN_FDS="+strconv.Itoa(listen), "LISTEN_PID="+strconv.Itoa(unix.Getpid()))
	}
	at := make(map[string]int, len(env)+1)
	out := make([]string, 0, len(env)+1)
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if i, ok := at[name]; ok {
			out[i] = e
			continue
		}
		at[name] = len(out)
		out = append(out, e)
	}
	switch i, ok := at["HOME"]; {
	case !ok:
		out = append(out, "HOME="+home)
	case out[i] == "HOME=":
		out[i] += home
	}
	return out
}

// setAttributes sets what takes privileges that the program's user may lack.
func setAttributes(a *process.Attributes) error {
	if a.Personality != nil {
		if err := process.SetPersonality(*a.Personality); err != nil {
			return fmt.Errorf("set linux.personality: %w", err)
		}
	}
	if a.Memory != nil {
		if err := a.Memory.Set(); err != nil {
			return fmt.Errorf("set linux.memoryPolicy: %w", err)
		}
	}
	if a.IOPriority != 0 {
		if err := process.SetIOPriority(a.IOPriority); err != nil {
			return fmt.Errorf("set process.ioPriority: %w", err)
		}
	}
	if a.Scheduler != nil {
		if err := a.Scheduler.Set(); err != nil {
			return fmt.Errorf("set process.scheduler: %w", err)
		}
	}
	return nil
}

// setAffinity binds a process that has joined a container's cgroup.
func setAffinity(m process.Mask) error {
	if m == nil {
		return nil
	}
	if err := process.SetAffinity(m); err != nil {
		return fmt.Errorf("set process.execCPUAffinity.final: %w", err)
	}
	return nil
}

// preserve gives the descriptors that the program is to have their numbers.
// Everything else is closed by execve.
func (s *starter) preserve() error {
	list := s.config.Preserved
	if len(list) == 0 {
		return nil
	}
	const first = wire.Preserved
	// A number may be that of one which has not moved yet: all go up first.
	above := max(first+len(list), list[len(list)-1]+1)
	move := func(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, above) }
	conn, err := move(int(s.conn))
	if err != nil {
		return fmt.Errorf("keep the socket to the runtime: %w", err)
	}
	s.conn = control(conn)
	moved := make([]int, len(list))
	for i := range list {
		if moved[i], err = move(first + i); err != nil {
			return fmt.Errorf("preserve descriptor %d: %w", list[i], err)
		}
	}
	for i, fd := range moved {
		if err := unix.Dup3(fd, list[i], 0); err != nil {
			return fmt.Errorf("preserve descriptor %d: %w", list[i], err)
		}
	}
	return nil
}
