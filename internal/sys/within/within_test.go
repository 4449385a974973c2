package within

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

func need(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

// stay writes files into dir and checks that the process's own root is as it was.
func stay(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("another goroutine has another root: %v", err)
	}
}

func TestDirectory(t *testing.T) {
	need(t)
	dir := t.TempDir()
	for name, link := range map[string]string{"absolute": "/inside", "up": "../../../../../../inside"} {
		if err := os.Symlink(link, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "inside"), []byte("in"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Directory(dir, func() error {
		for _, name := range []string{"/absolute", "/up", "absolute"} {
			if b, err := os.ReadFile(name); err != nil || string(b) != "in" {
				t.Errorf("%s: %q, %v", name, b, err)
			}
		}
		_, err := os.Stat(dir)
		return err
	})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a path of the host: %v", err)
	}
	stay(t, dir)
}

func TestMounts(t *testing.T) {
	need(t)
	dir := t.TempDir()
	// A process with a tmpfs of its own on the directory.
	cmd := exec.Command("sh", "-ec", `mount -t tmpfs none "$1"; echo in > "$1/file"; echo ready; read end`, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		cmd.Wait() //nolint:errcheck // it ends with its input
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ns, err := os.Open(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "ns/mnt"))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if err := Mounts(ns, func() error { _, err := os.Stat(filepath.Join(dir, "file")); return err }); err != nil {
		t.Errorf("its mount is not seen: %v", err)
	}
	if err := Root(ns, func() error { _, err := os.Stat(filepath.Join(dir, "file")); return err }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the root alone: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "file")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("outside: %v", err)
	}
}
