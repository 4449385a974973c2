package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/leanjson"
	"github.com/berth-containers/berth/internal/runtime/wire"
)

// agentTimeout bounds how long an agent may leave us waiting at its socket.
const agentTimeout = 10 * time.Second

// listenerFor tells the init of a process pid what to say to the agent that
// decides its system calls, if there is one.
func listenerFor(config *wire.Config, profile *specs.LinuxSeccomp, pid int, state specs.State) error {
	if config.Seccomp == nil || !config.Seccomp.Notifies() {
		return nil
	}
	state.Version = specs.Version
	text, err := leanjson.Marshal(specs.ContainerProcessState{Version: specs.Version, Fds: []string{specs.SeccompFdName},
		Pid: pid, Metadata: profile.ListenerMetadata, State: state})
	if err != nil {
		return fmt.Errorf("write the state for the seccomp agent: %w", err)
	}
	config.Listener = profile.ListenerPath + "\x00" + string(text)
	return nil
}

// passListener gives the agent the listener and what it is of.
func (c *child) passListener(ctx context.Context, payload []byte, listener *os.File) error {
	path, text, _ := strings.Cut(string(payload), "\x00")
	if listener == nil {
		return errors.New("pass the seccomp listener: the container init sent none")
	}
	if err := tellAgent(ctx, path, text, listener); err != nil {
		return fmt.Errorf("pass the seccomp listener to the agent at linux.seccomp.listenerPath %q: %w", path, err)
	}
	return c.send(wire.Listener, nil)
}

func tellAgent(ctx context.Context, path, text string, listener *os.File) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	limit := agentTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = max(min(limit, time.Until(deadline)), time.Millisecond)
	}
	wait := unix.NsecToTimeval(limit.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait); err != nil {
		return err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return err
	}
	rights := unix.UnixRights(int(rawFd(listener)))
	for rest := []byte(text); len(rest) > 0; rights = nil {
		n, err := unix.SendmsgN(fd, rest, rights, nil, unix.MSG_NOSIGNAL)
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}
