package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/continuity/sysx"
	"github.com/containerd/errdefs"
)

// unpack makes one layer of a stack, the topmost first.
func unpack(t *testing.T, lowers []string, headers ...tar.Header) ([]string, error) {
	t.Helper()
	dir := t.TempDir()
	r, err := Apply(context.Background(), dir, bytes.NewReader(archiveOf(t, headers...)), 0)
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{dir}, lowers...), Settle(dir, r, lowers)
}

func TestLinksToLowerLayers(t *testing.T) {
	when := time.Unix(1700000000, 0)
	file := func(name string, mode int64) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Uid: 7, ModTime: when,
			PAXRecords: map[string]string{"SCHILY.xattr.user.note": "kept"}}
	}
	folder := func(name string, mode int64) tar.Header {
		return tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: mode, Uid: 5, ModTime: when}
	}
	link := func(name, target string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}
	}
	far, err := unpack(t, nil, folder("d", 0o711), file("d/a", 0o4755), file("gone", 0o644), folder("opaque", 0o755), file("opaque/x", 0o644))
	if err != nil {
		t.Fatal(err)
	}
	lowers, err := unpack(t, far, file("other", 0o644), file(".wh.gone", 0o644), file("opaque/.wh..wh..opq", 0o644))
	if err != nil {
		t.Fatal(err)
	}
	top, err := unpack(t, lowers, link("d/b", "d/a"), folder("e", 0o750), link("e/c", "/d/b"), link("first", "later"), file("later", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	inode := func(name string) uint64 {
		info, err := os.Lstat(filepath.Join(top[0], name))
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Ino
	}
	if inode("d/a") != inode("d/b") || inode("d/b") != inode("e/c") || inode("first") != inode("later") {
		t.Error("the names are not one file")
	}
	for name, want := range map[string]os.FileMode{"d/b": 0o755 | os.ModeSetuid, "d": 0o711 | os.ModeDir, "e": 0o750 | os.ModeDir} {
		info, err := os.Lstat(filepath.Join(top[0], name))
		if err != nil || info.Mode() != want || !info.ModTime().Equal(when) {
			t.Errorf("%s: %v %v, %v; want %v", name, info.Mode(), info.ModTime(), err, want)
		}
	}
	if v, err := sysx.LGetxattr(filepath.Join(top[0], "d/b"), "user.note"); err != nil || string(v) != "kept" {
		t.Errorf("xattr %q, %v", v, err)
	}
	for _, target := range []string{"nowhere", "gone", "opaque/x", "d", "../../../etc/passwd", "d/a/x"} {
		if _, err := unpack(t, lowers, link("l", target)); !errdefs.IsInvalidArgument(err) {
			t.Errorf("link to %s: %v", target, err)
		}
	}
}
