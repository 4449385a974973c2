package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	put := func(layer, name, text string) string {
		at := filepath.Join(dir, layer, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, layer)
	}
	low := put("low", "etc/group", "low")
	put("low", "etc/passwd", "users")
	if err := os.Symlink("/etc/shadow", filepath.Join(low, "etc/link")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Mkfifo(filepath.Join(low, "etc/pipe"), 0o644), os.Symlink("pipe", filepath.Join(low, "etc/to-pipe"))); err != nil {
		t.Fatal(err)
	}
	mid := put("mid", "etc/group", "middle")
	top := put("top", "var/x", "")
	gone := put("gone", "etc/other", "")
	if err := syscall.Mknod(filepath.Join(gone, "etc/group"), syscall.S_IFCHR, 0); err != nil {
		t.Fatal(err)
	}
	file := put("file", "etc", "a file in place of the directory")
	for _, tc := range []struct {
		name, want string
		layers     []string
	}{
		{"etc/group", "middle", []string{top, mid, low}}, {"etc/group", "low", []string{top, low}}, {"etc/passwd", "users", []string{top, mid, low}},
		{"etc/group", "", []string{gone, mid, low}}, {"etc/group", "", []string{file, low}}, {"etc/group", "", []string{top}},
		{"etc/link", "", []string{low}}, {"etc", "", []string{low}},
		{"etc/pipe", "", []string{low}}, {"etc/to-pipe", "", []string{low}},
	} {
		got, err := ReadFile(tc.layers, tc.name, 100)
		if string(got) != tc.want || tc.want == "" && err == nil {
			t.Errorf("%s of %v: %q, %v", tc.name, tc.layers, got, err)
		}
		if tc.name == "etc/group" && tc.want == "" && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	if got, _ := ReadFile([]string{low}, "etc/group", 2); string(got) != "lo" {
		t.Errorf("the bound: %q", got)
	}
}
