package verify

import (
	"archive/tar"
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/berth-containers/berth/internal/snapshot/layer"
)

// tarOf is entries "name" with that text, "name/", "name>target" and "name=target".
func tarOf(t testing.TB, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e, Mode: 0o644, Size: int64(len(e)), Typeflag: tar.TypeReg}
		if name, target, ok := strings.Cut(e, ">"); ok {
			h = &tar.Header{Name: name, Linkname: target, Mode: 0o777, Typeflag: tar.TypeSymlink}
		} else if name, target, ok := strings.Cut(e, "="); ok {
			h = &tar.Header{Name: name, Linkname: target, Mode: 0o644, Typeflag: tar.TypeLink}
		} else if strings.HasSuffix(e, "/") {
			h = &tar.Header{Name: e, Mode: 0o755, Typeflag: tar.TypeDir}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(e)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What was just unpacked is right, however awkward the layer.
func TestCompare(t *testing.T) {
	for name, entries := range map[string][]string{
		"plain":            {"a", "d/", "d/x", "l>d", "h=a"},
		"twice":            {"a", "d/", "d/x", "d", "a/", "a/b"},
		"through a link":   {"real/", "l>real", "l/x", "abs>/real", "abs/y"},
		"whiteouts":        {".wh.gone", "d/", "d/.wh..wh..opq", "d/x", "d/.wh.y", "kept", ".wh.kept", "k/", ".wh.k"},
		"without entries":  {"a/b/c", "./d/../e"},
		"odd names":        {"/abs", "../up", "./dot", "é"},
		"hard link before": {"x/", "x/h=a", "a"},
	} {
		dir, b := t.TempDir(), tarOf(t, entries...)
		r, err := layer.Apply(context.Background(), dir, bytes.NewReader(b), 0)
		if err == nil {
			err = layer.Settle(dir, r, nil)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := compare(dir, bytes.NewReader(b)); err != nil || len(got) > 0 {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add(tarOf(f, "a", "d/", "d/x", "l>..", "l/y", "h=a", ".wh.b", "d/.wh..wh..opq"))
	f.Add(tarOf(f, "l>/etc", "l/passwd"))
	f.Add([]byte("no tar"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = compare(dir, bytes.NewReader(b))
	})
}
