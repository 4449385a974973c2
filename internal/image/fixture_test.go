package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// file is one entry of a fixture's archive.
type file struct {
	name, body, link string
	mode             int64
	kind             byte
	uid              int
	xattrs           map[string]string
}

var epoch = time.Unix(1_700_000_000, 0)

func dir(name string, mode int64) file     { return file{name: name, kind: tar.TypeDir, mode: mode} }
func reg(name, body string) file           { return file{name: name, body: body, kind: tar.TypeReg, mode: 0o644} }
func symlink(name, target string) file     { return file{name: name, link: target, kind: tar.TypeSymlink} }
func hardlink(name, target string) file    { return file{name: name, link: target, kind: tar.TypeLink} }
func (f file) with(mode int64, u int) file { f.mode, f.uid = mode, u; return f }

// archiveOf is the tar of files, the same each time.
func archiveOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: f.kind, Mode: f.mode, Linkname: f.link, Uid: f.uid, ModTime: epoch, Format: tar.FormatPAX}
		if f.kind == tar.TypeReg {
			h.Size = int64(len(f.body))
		}
		if len(f.xattrs) > 0 {
			h.PAXRecords = map[string]string{}
			for k, v := range f.xattrs {
				h.PAXRecords["SCHILY.xattr."+k] = v
			}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if f.kind == tar.TypeReg {
			if _, err := w.Write([]byte(f.body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func newStore(t testing.TB) *Store {
	t.Helper()
	return openStore(t, t.TempDir())
}

func openStore(t testing.TB, root string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// settle waits for the collection that runs and makes one more.
func settle(t testing.TB, s *Store) {
	t.Helper()
	if err := s.depot.Collect(s.depot.Scope(context.Background())); err != nil {
		t.Fatal(err)
	}
}

// tree prints what lies below root, one line each.
func tree(t testing.TB, root string) string {
	t.Helper()
	var lines []string
	err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		st := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%s %s %d:%d", info.Mode(), rel, st.Uid, st.Gid)
		if info.Mode()&os.ModeSymlink != 0 {
			target, _ := os.Readlink(path)
			line += " -> " + target
		}
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if len(b) > 40 {
				b = fmt.Appendf(nil, "%d bytes", len(b))
			}
			line += fmt.Sprintf(" %q", b)
			if st.Nlink > 1 {
				line += fmt.Sprintf(" links=%d", st.Nlink)
			}
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// owned counts what the store holds on disk: blobs, layer directories, rootfs.
func owned(t testing.TB, s *Store) (blobs, layers, rootfs int) {
	t.Helper()
	count := func(glob string) int {
		m, err := filepath.Glob(filepath.Join(s.depot.Root, glob))
		if err != nil {
			t.Fatal(err)
		}
		return len(m)
	}
	return count("images/blobs/sha256/*"), count("snapshots/snapshots/*"), count("rootfs/[a-z0-9]*")
}

func statuses(events []Event) []string {
	var seen []string
	for _, e := range events {
		if !slices.Contains(seen, e.Status) {
			seen = append(seen, e.Status)
		}
	}
	return seen
}
