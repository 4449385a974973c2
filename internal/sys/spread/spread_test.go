package spread

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestBelow(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := Below(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := Below(filepath.Join(dir, "missing")); err == nil {
		t.Error("a directory that is not there")
	}
	below := filepath.Join(dir, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if st.Type != unix.EXT4_SUPER_MAGIC {
		return // it has no such flag
	}
	for path, want := range map[string]bool{dir: true, below: false} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
		if err != nil || flags&topDir != 0 != want {
			t.Errorf("%s has flags %#x, %v", path, flags, err)
		}
	}
}
