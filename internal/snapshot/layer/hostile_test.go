package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// entry is a regular file of an archive.
func entry(name, body string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(body)), PAXRecords: map[string]string{"BERTH.body": body}}
}

// archiveWith is archiveOf with the bodies of entries.
func archiveWith(t testing.TB, format tar.Format, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		body := h.PAXRecords["BERTH.body"]
		delete(h.PAXRecords, "BERTH.body")
		h.Format = format
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A layer that unpacks to more than the limit ends in an error that names the
// option, before it is on the disk.
func TestTooLarge(t *testing.T) {
	const limit = 1 << 20
	zeros := bytes.Repeat([]byte{0}, 4<<20)
	var bomb bytes.Buffer
	pack(t, gzip.NewWriter(&bomb), archiveWith(t, tar.FormatPAX, entry("zeros", string(zeros))))
	var tail bytes.Buffer
	pack(t, gzip.NewWriter(&tail), append(archiveWith(t, tar.FormatPAX, entry("a", "x")), zeros...))
	for name, in := range map[string][]byte{
		"a bomb": bomb.Bytes(), "bytes after the end": tail.Bytes(),
		"many entries":     archiveWith(t, tar.FormatPAX, entry("a", string(zeros[:900<<10])), entry("b", string(zeros[:900<<10]))),
		"a size that lies": lying(t, 1<<40),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := Apply(context.Background(), dir, bytes.NewReader(in), limit)
			if !errors.As(err, &TooLarge{}) || !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "--image-layer-limit") {
				t.Errorf("error %v", err)
			}
			if info, err := os.Stat(filepath.Join(dir, "zeros")); err == nil && info.Size() > limit {
				t.Errorf("%d bytes were written", info.Size())
			}
		})
	}
	if _, err := Apply(context.Background(), t.TempDir(), bytes.NewReader(bomb.Bytes()), 8<<20); err != nil {
		t.Errorf("below the limit: %v", err)
	}
}

// lying is an archive whose only file is shorter than its header says.
func lying(t testing.TB, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "short", Typeflag: tar.TypeReg, Mode: 0o644, Size: size}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Odd archives unpack as tar would, or end in an error.
func TestOddArchives(t *testing.T) {
	long := strings.Repeat("long/", 60) + "name"
	for name, tc := range map[string]struct {
		in    []byte
		path  string
		want  string // content of path
		wrong string
	}{
		"the last of duplicates counts":     {in: archiveWith(t, tar.FormatPAX, entry("a", "one"), entry("a", "two")), path: "a", want: "two"},
		"a duplicate of a directory":        {in: archiveWith(t, tar.FormatPAX, entry("a/b", "one"), entry("a", "two")), path: "a", want: "two"},
		"names not in UTF-8":                {in: archiveWith(t, tar.FormatGNU, entry("a\xff\xfeb", "x")), path: "a\xff\xfeb", want: "x"},
		"long names in PAX":                 {in: archiveWith(t, tar.FormatPAX, entry(long, "x")), path: long, want: "x"},
		"long names in GNU's form":          {in: archiveWith(t, tar.FormatGNU, entry(long, "x")), path: long, want: "x"},
		"names with a line break":           {in: archiveWith(t, tar.FormatPAX, entry("a\nb", "x")), path: "a\nb", want: "x"},
		"a size that lies":                  {in: lying(t, 100), wrong: "unexpected EOF"},
		"a file below a file":               {in: archiveWith(t, tar.FormatPAX, entry("a", "x"), entry("a/b", "y")), wrong: "not a directory"},
		"an empty name":                     {in: archiveWith(t, tar.FormatPAX, entry("", "x"), entry("b", "y")), path: "b", want: "y"},
		"the root, from inside":             {in: archiveWith(t, tar.FormatPAX, entry("..", "x"), entry("b", "y")), path: "b", want: "y"},
		"a name too long for a file system": {in: archiveWith(t, tar.FormatPAX, entry(strings.Repeat("x", 300), "x")), wrong: "file name too long"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := Apply(context.Background(), dir, bytes.NewReader(tc.in), 0)
			if tc.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wrong) {
					t.Errorf("error %v, want %q", err, tc.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(filepath.Join(dir, tc.path)); err != nil || string(b) != tc.want {
				t.Errorf("%q, %v; want %q", b, err, tc.want)
			}
		})
	}
}

// Many entries cost memory for their names only.
func TestManyEntries(t *testing.T) {
	const count = 3_000 // a million was tried by hand: docs/design/images.md
	r, w := io.Pipe()
	go func() {
		out := tar.NewWriter(w)
		for i := range count {
			if err := out.WriteHeader(&tar.Header{Name: fmt.Sprintf("d%d/f%d", i%100, i), Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
				w.CloseWithError(err)
				return
			}
		}
		w.CloseWithError(out.Close())
	}()
	dir := t.TempDir()
	res, err := Apply(context.Background(), dir, r, 1<<30)
	if err != nil || len(res.Implied) != 100 {
		t.Fatalf("%d implied directories, %v", len(res.Implied), err)
	}
	if files, err := os.ReadDir(filepath.Join(dir, "d7")); err != nil || len(files) != count/100 {
		t.Errorf("%d files, %v", len(files), err)
	}
}
