package runtime_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime"
)

// agent answers the calls of filters whose listeners it is sent: mkdir fails
// with EXDEV, everything else goes on.
type agent struct {
	path   string
	states chan specs.ContainerProcessState
	done   chan error
}

func newAgent(t *testing.T) *agent {
	t.Helper()
	a := &agent{path: filepath.Join(t.TempDir(), "agent"), states: make(chan specs.ContainerProcessState, 8), done: make(chan error, 1)}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: a.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	go func() { a.done <- a.serve(l) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-a.done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return a
}

// serve has one process at a time, until its filter has no process left.
func (a *agent) serve(l *net.UnixListener) error {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return err
		}
		state, fd, err := takeListener(conn)
		conn.Close()
		if err != nil {
			return err
		}
		a.states <- state
		if err := answer(fd); err != nil {
			return err
		}
	}
}

func takeListener(conn *net.UnixConn) (state specs.ContainerProcessState, fd int, err error) {
	text, oob := make([]byte, 1<<16), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := conn.ReadMsgUnix(text, oob)
	if err != nil {
		return state, -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return state, -1, fmt.Errorf("%d messages, %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return state, -1, fmt.Errorf("%d descriptors, %w", len(fds), err)
	}
	return state, fds[0], json.Unmarshal(text[:n], &state)
}

// answer is for a filter until nobody uses it any more.
func answer(fd int) error {
	defer unix.Close(fd)
	for {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(poll, int(time.Minute.Milliseconds())); err == unix.EINTR {
			continue
		} else if err != nil || n == 0 {
			return fmt.Errorf("%d calls in a minute: %w", n, err)
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			return nil // POLLHUP
		}
		var request struct {
			id         uint64
			pid, flags uint32
			nr         int32
			arch       uint32
			ip         uint64
			args       [6]uint64
		}
		if e := control(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&request)); e == unix.ENOENT || e == unix.EINTR {
			continue
		} else if e != 0 {
			return e
		}
		response := struct {
			id           uint64
			val          int64
			error, flags int32
		}{id: request.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if request.nr == unix.SYS_MKDIRAT || int(request.nr) == mkdir {
			response.error, response.flags = -int32(unix.EXDEV), 0
		}
		if e := control(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&response)); e != 0 && e != unix.ENOENT {
			return e
		}
	}
}

func control(fd int, request uintptr, p unsafe.Pointer) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(p))
	return e
}

// notifying is a profile that asks the agent for what calls does.
func notifying(a *agent, calls ...string) *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: a.path, ListenerMetadata: "meta",
		Syscalls: []specs.LinuxSyscall{{Names: calls, Action: specs.ActNotify}}}
}

const tryMkdir = "mkdir /tmp/x 2>&1; ls /proc/self/fd | wc -l"

func TestSeccompAgent(t *testing.T) {
	for name, calls := range map[string][]string{
		"mkdir": {"mkdir", "mkdirat"},
		// The agent has to be there before the runtime's own handing over.
		"everything of ours": {"mkdir", "mkdirat", "read", "write", "sendmsg", "futex", "capset", "prctl", "execve", "nanosleep", "exit_group"},
	} {
		for _, nnp := range []bool{false, true} {
			a := newAgent(t)
			s := spec("sh", "-c", tryMkdir)
			s.Process.NoNewPrivileges = nnp
			s.Annotations = map[string]string{"k": "v"}
			s.Linux.Seccomp = notifying(a, calls...)
			out, code, err := runOptions(t, runtime.CreateOptions{ID: "asked", Bundle: "/bundle", Spec: s, Rootfs: rootfs(t)})
			if err != nil || code != 0 || out != "mkdir: can't create directory '/tmp/x': Invalid cross-device link\n4\n" {
				t.Fatalf("%s: %q, %d, %v", name, out, code, err)
			}
			got := <-a.states
			if got.Version != specs.Version || len(got.Fds) != 1 || got.Fds[0] != "seccompFd" || got.Metadata != "meta" || got.Pid < 2 || got.State.Pid != got.Pid ||
				got.State.ID != "asked" || got.State.Bundle != "/bundle" || got.State.Annotations["k"] != "v" || got.State.Status != specs.StateCreated {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
}

func TestSeccompAgentOfExec(t *testing.T) {
	a := newAgent(t)
	r := newRuntime(t)
	c, s := sleeper(t, r, nil)
	s.Linux.Seccomp = notifying(a, "mkdir", "mkdirat")
	out, code, err := execIn(t, r, c, s, nil, "sh", "-c", tryMkdir)
	if err != nil || code != 0 || !strings.Contains(out, "cross-device") {
		t.Fatalf("%q, %d, %v", out, code, err)
	}
	got := <-a.states
	if got.State.Pid != c.Pid || got.Pid == c.Pid || got.Pid < 2 || got.State.Status != specs.StateRunning {
		t.Errorf("%+v, container %d", got, c.Pid)
	}
}

// Without an agent the program must not run: its calls would be decided by nobody.
func TestSeccompWithoutAgent(t *testing.T) {
	for _, calls := range [][]string{{"mkdir"}, {"read", "write", "exit_group"}} {
		s := spec("true")
		s.Linux.Seccomp = notifying(&agent{path: filepath.Join(t.TempDir(), "gone")}, calls...)
		_, _, err := run(t, s, rootfs(t))
		if err == nil || !strings.Contains(err.Error(), "gone") || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v", err)
		}
	}
	if err := noChildren(); err != nil {
		t.Error(err)
	}
}
