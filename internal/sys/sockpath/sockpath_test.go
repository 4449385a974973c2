package sockpath

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWith(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 200))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "s"), filepath.Join(long, "s")} {
		server, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(server)
		if err := With(path, func(a *unix.SockaddrUnix) error { return unix.Bind(server, a) }); err != nil {
			t.Fatalf("bind %s: %v", path, err)
		}
		if err := unix.Listen(server, 1); err != nil {
			t.Fatal(err)
		}
		client, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(client)
		if err := With(path, func(a *unix.SockaddrUnix) error { return unix.Connect(client, a) }); err != nil {
			t.Errorf("connect to %s: %v", path, err)
		}
	}
	if err := With(filepath.Join(long, "none", "s"), func(*unix.SockaddrUnix) error { return nil }); err != unix.ENOENT {
		t.Error(err)
	}
}
