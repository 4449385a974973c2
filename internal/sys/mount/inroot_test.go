package mount

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever links a root holds, everything is made below it.
func TestMadeInRoot(t *testing.T) {
	for _, tc := range []struct{ name, link, make, want string }{
		{"plain", "", "/a/b", "a/b"},
		{"absolute link", "/target", "/link/x", "target/x"},
		{"link upwards", "../../../../target", "/link/x", "target/x"},
		{"dangling link itself", "/target/deep", "/link", "target/deep"},
		{"dots", "", "/../../a/../b", "b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			base := t.TempDir()
			root := filepath.Join(base, "root")
			if err := os.MkdirAll(filepath.Join(root, "a"), 0o755); err != nil {
				t.Fatal(err)
			}
			if tc.link != "" {
				if err := os.Symlink(tc.link, filepath.Join(root, "link")); err != nil {
					t.Fatal(err)
				}
			}
			fd, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			made, err := Create(fd, tc.make)
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(made)
			if st, err := os.Lstat(filepath.Join(root, tc.want)); err != nil || !st.Mode().IsRegular() {
				t.Error(err)
			}
			if entries, err := os.ReadDir(base); err != nil || len(entries) != 1 {
				t.Errorf("made outside: %v, %v", entries, err)
			}
		})
	}
}

func TestLinkLoop(t *testing.T) {
	root := t.TempDir()
	if err := os.Symlink("loop", filepath.Join(root, "loop")); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := Mkdir(fd, "/loop/x"); err == nil {
		t.Error("a loop was followed")
	}
}
