package command_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// receiver listens at a unix socket for one descriptor.
type receiver struct {
	t    *testing.T
	path string
	fd   int
}

func listen(t *testing.T, path string) receiver {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	return receiver{t, path, fd}
}

// receive returns what was sent; the sender has ended.
func (r receiver) receive() (name string, file *os.File) {
	r.t.Helper()
	if err := unix.SetNonblock(r.fd, true); err != nil {
		r.t.Fatal(err)
	}
	conn, _, err := unix.Accept(r.fd)
	if err != nil {
		r.t.Fatalf("nothing was sent to %s: %v", r.path, err)
	}
	defer unix.Close(conn)
	text, oob := make([]byte, 100), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := unix.Recvmsg(conn, text, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		r.t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		r.t.Fatal(messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text[:n]), os.NewFile(uintptr(fds[0]), "received")
}

func TestSocketsAndFiles(t *testing.T) {
	adoptOrphans(t)
	b := newBundle(t, "sh", "-c", "stty size; sleep 1000")
	b.edit(func(s *specs.Spec) {
		s.Process.Terminal, s.Process.ConsoleSize = true, &specs.Box{Height: 33, Width: 44}
	})
	if out, code := b.run("create", b.id); code == 0 || !strings.Contains(out, "--console-socket") {
		t.Errorf("a terminal that nobody holds: %q", out)
	}
	console, pidfd := listen(t, filepath.Join(b.dir, "c")), listen(t, filepath.Join(b.dir, "p"))
	b.must("create", "--console-socket", console.path, "--pidfd-socket", pidfd.path, b.id)
	name, master := console.receive()
	defer master.Close()
	if name != "/dev/ptmx" {
		t.Errorf("the console's name is %q", name)
	}
	_, process := pidfd.receive()
	defer process.Close()
	b.must("start", b.id)
	if got := readLine(t, master); got != "33 44\r\n" {
		t.Errorf("the terminal said %q", got)
	}
	pid := b.status().Pid
	files := newFiles(t, b)
	for _, id := range []string{"", "listen"} {
		cmd := exec.Command(filepath.Join(b.dir, "berth-runtime"), "--root", b.state, "exec", "--preserve-fds", "1", b.id,
			"sh", "-c", "echo ${LISTEN_FDS-none}; while read -r l; do echo $l; done <&3; ls /proc/self/fd")
		cmd.ExtraFiles = files[:1]
		want := "none\none\n0\n1\n2\n3\n"
		if id != "" {
			cmd.ExtraFiles, cmd.Env = []*os.File{files[1], files[0]}, append(os.Environ(), "LISTEN_FDS=1")
			want = "1\ntwo\n0\n1\n2\n3\n4\n"
		}
		for _, f := range files {
			if _, err := f.Seek(0, 0); err != nil {
				t.Fatal(err)
			}
		}
		out, err := cmd.CombinedOutput()
		// The listing itself has a directory open.
		if got := string(out); err != nil || !strings.HasPrefix(got, want) || strings.Count(got, "\n") > strings.Count(want, "\n")+1 {
			t.Errorf("%q: got %q, %v; want %q", id, got, err, want)
		}
	}
	pidFile := filepath.Join(b.dir, "exec.pid")
	b.must("exec", "--detach", "--pid-file", pidFile, "--pidfd-socket", pidfd.path, b.id, "sleep", "1000")
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	_, more := pidfd.receive()
	defer more.Close()
	if ps := b.must("ps", b.id, "-e", "-o", "pid,args"); strings.Count(ps, "sleep 1000\n") != 2 || !strings.Contains(ps, string(text)) {
		t.Errorf("ps: %q, pid %s", ps, text)
	}
	for _, f := range []*os.File{more, process} {
		if err := unix.PidfdSendSignal(int(f.Fd()), unix.SIGKILL, nil, 0); err != nil {
			t.Error(err)
		}
	}
	var execPid int
	fmt.Sscan(string(text), &execPid)
	reap(t, execPid)
	reap(t, pid)
	b.must("delete", b.id)
	b.gone(b.id)
}

func readLine(t *testing.T, f *os.File) string {
	t.Helper()
	fd := int(f.Fd())
	var got []byte
	for deadline := time.Now().Add(10 * time.Second); !strings.HasSuffix(string(got), "\n"); {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, _ := unix.Poll(fds, 100); n == 1 {
			b := make([]byte, 1)
			if _, err := unix.Read(fd, b); err != nil {
				t.Fatal(err)
			}
			got = append(got, b...)
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %q came", got)
		}
	}
	return string(got)
}

// newFiles are two files that hold their names.
func newFiles(t *testing.T, b *bundle) []*os.File {
	t.Helper()
	var files []*os.File
	for _, name := range []string{"one", "two"} {
		path := filepath.Join(b.dir, name)
		if err := os.WriteFile(path, []byte(name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	return files
}
