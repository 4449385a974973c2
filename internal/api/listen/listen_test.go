package listen

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
)

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "s.sock")
	all, err := Open([]string{"unix://" + path}, Options{GID: os.Getgid()})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := Open([]string{"unix://" + path}, Options{}); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), path) {
		t.Errorf("a live socket was not refused: %v", err)
	}
	if err := Close(all); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("the socket stays behind", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	all, err := Open([]string{"unix://" + path}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := Close(all); err != nil {
		t.Error(err)
	}
}

func TestFileIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open([]string{"unix://" + path}, Options{}); !errdefs.IsConflict(err) {
		t.Error(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Error("the file is gone", err)
	}
}

func TestOneFailureClosesAll(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open([]string{"unix://" + dir + "/a", "unix://" + dir}, Options{}); err == nil {
		t.Fatal("a directory was taken for a socket")
	}
	if _, err := os.Stat(dir + "/a"); !os.IsNotExist(err) {
		t.Error("the first socket stays behind", err)
	}
}

func TestNothingWasPassed(t *testing.T) {
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_PID", "1") // another process
	if _, err := Open([]string{"fd://"}, Options{}); !errdefs.IsFailedPrecondition(err) {
		t.Error(err)
	}
}

func TestPassedSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	passed, err := fromFD(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := passed.Accept()
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
}
