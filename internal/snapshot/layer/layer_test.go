package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/continuity/sysx"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

func archiveOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pack(t testing.TB, w io.WriteCloser, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestApplyPacked(t *testing.T) {
	plain := archiveOf(t, tar.Header{Name: "a/b/c", Typeflag: tar.TypeReg, Mode: 0o600}, tar.Header{Name: "a/", Typeflag: tar.TypeDir, Mode: 0o711})
	var zipped, zstded bytes.Buffer
	pack(t, gzip.NewWriter(&zipped), plain)
	z, err := zstd.NewWriter(&zstded)
	if err != nil {
		t.Fatal(err)
	}
	pack(t, z, plain)
	skippable := append([]byte{0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'x', 'y'}, zstded.Bytes()...)
	trailing := append(slices.Clone(plain), make([]byte, 4096)...)
	for name, tc := range map[string]struct{ in, plain []byte }{
		"plain": {plain, plain}, "gzip": {zipped.Bytes(), plain}, "zstd": {zstded.Bytes(), plain}, "zstd after a skippable frame": {skippable, plain},
		"bytes after the end": {trailing, trailing}, "empty": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			res, err := Apply(context.Background(), dir, bytes.NewReader(tc.in), 0)
			if err != nil {
				t.Fatal(err)
			}
			if want := digest.FromBytes(tc.plain); res.DiffID != want {
				t.Errorf("diff ID %s, want %s", res.DiffID, want)
			}
			if len(tc.in) > 0 && !slices.Equal(res.Implied, []string{"/a/b"}) {
				t.Errorf("implied %v", res.Implied)
			}
		})
	}
}

func TestWhiteouts(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644} }
	folder := func(name string) tar.Header {
		return tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: 0o755}
	}
	for name, tc := range map[string]struct {
		in   []tar.Header
		want string // mode of "x", or "opaque"
	}{
		"whiteout":             {[]tar.Header{file(".wh.x")}, "Dc---------"},
		"file after whiteout":  {[]tar.Header{file(".wh.x"), file("x")}, "-rw-r--r--"},
		"whiteout after file":  {[]tar.Header{file("x"), file(".wh.x")}, "-rw-r--r--"},
		"directory after":      {[]tar.Header{file(".wh.x"), folder("x")}, "drwxr-xr-x"},
		"directory, whiteout":  {[]tar.Header{folder("x"), file(".wh.x")}, "opaque"},
		"opaque":               {[]tar.Header{folder("x"), file("x/.wh..wh..opq")}, "opaque"},
		"opaque, no directory": {[]tar.Header{file("x/.wh..wh..opq")}, "opaque"},
		"aufs bookkeeping":     {[]tar.Header{file(".wh..wh.plnk"), file("x")}, "-rw-r--r--"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := Apply(context.Background(), dir, bytes.NewReader(archiveOf(t, tc.in...)), 0); err != nil {
				t.Fatal(err)
			}
			info, err := os.Lstat(filepath.Join(dir, "x"))
			if err != nil {
				t.Fatal(err)
			}
			got := info.Mode().String()
			if v, err := sysx.LGetxattr(filepath.Join(dir, "x"), "trusted.overlay.opaque"); err == nil && string(v) == "y" {
				got = "opaque"
			}
			if got != tc.want {
				t.Errorf("x is %s, want %s", got, tc.want)
			}
		})
	}
}

func TestImplied(t *testing.T) {
	dir, near, far := t.TempDir(), t.TempDir(), t.TempDir()
	for _, p := range []string{dir + "/a/b", dir + "/hidden", dir + "/link", near + "/a", far + "/a/b", far + "/hidden", far + "/link"} {
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for p, mode := range map[string]os.FileMode{near + "/a": 0o700, far + "/a": 0o711, far + "/a/b": 0o1777&0o777 | os.ModeSticky, far + "/hidden": 0o700} {
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(near+"/hidden", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", near+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := Settle(dir, Result{Implied: []string{"/a", "/a/b", "/gone", "/hidden", "/link"}}, []string{near, far}); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{"a": "drwx------", "a/b": "dtrwxrwxrwx", "hidden": "drwxr-xr-x", "link": "drwxr-xr-x"} {
		info, err := os.Lstat(filepath.Join(dir, p))
		if err != nil || info.Mode().String() != want {
			t.Errorf("%s: %v, %v; want %s", p, info.Mode(), err, want)
		}
	}
}

// No archive, however made, writes outside its directory or brings us down.
func FuzzApply(f *testing.F) {
	f.Add(archiveOf(f, tar.Header{Name: "../x", Typeflag: tar.TypeReg, Mode: 0o644}))
	f.Add(archiveOf(f, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/"}, tar.Header{Name: "l/x", Typeflag: tar.TypeReg}))
	f.Add(archiveOf(f, tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "../../../etc/passwd"}))
	f.Add(archiveOf(f, tar.Header{Name: "a/.wh..wh..opq", Typeflag: tar.TypeReg}, tar.Header{Name: ".wh...", Typeflag: tar.TypeReg}))
	f.Add([]byte{0x1f, 0x8b, 0x08, 0, 0})
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		top := t.TempDir()
		dir := filepath.Join(top, "in", "here")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		res, err := Apply(context.Background(), dir, bytes.NewReader(b), 16<<20)
		if err == nil && !strings.HasPrefix(res.DiffID.String(), "sha256:") {
			t.Errorf("no diff ID: %v", res)
		}
		for _, p := range []string{top, filepath.Dir(dir)} {
			if entries, err := os.ReadDir(p); err != nil || len(entries) != 1 {
				t.Errorf("%s has %v, %v", p, entries, err)
			}
		}
	})
}
