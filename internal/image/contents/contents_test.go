package contents

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/internal/image/report"
	"github.com/containerd/continuity/sysx"
)

// layerOf makes a layer: "name" is a file with that text, "name/" a directory,
// "name!" a whiteout, "name>" a link and "name=" another name of a file.
func layerOf(t testing.TB, entries map[string]string, opaque ...string) string {
	t.Helper()
	dir := t.TempDir()
	var later []string
	for name, text := range entries {
		at := filepath.Join(dir, strings.TrimRight(name, "/!>="))
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		switch name[len(name)-1] {
		case '/':
			err = errors.Join(err, os.MkdirAll(at, 0o755))
		case '!':
			err = errors.Join(err, syscall.Mknod(at, syscall.S_IFCHR, 0))
		case '>':
			err = errors.Join(err, os.Symlink(text, at))
		case '=':
			later = append(later, at, text)
		default:
			err = errors.Join(err, os.WriteFile(at, []byte(text), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < len(later); i += 2 {
		if err := os.Link(filepath.Join(dir, later[i+1]), later[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range opaque {
		if err := sysx.LSetxattr(filepath.Join(dir, name), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t testing.TB, dirs ...string) (*Tree, []Layer) {
	t.Helper()
	tree, layers, err := Open(context.Background(), dirs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tree.Close)
	return tree, layers
}

func TestLayers(t *testing.T) {
	lowest := layerOf(t, map[string]string{"a": "12345", "b": "123", "d/x": "1", "d/y": "22", "l>": "a", "h": "1234567", "h2=": "h", "o/f": "1", "o/g": "22"})
	middle := layerOf(t, map[string]string{"a": "123", "b!": "", "d": "now a file", "o/f": "9", "new": "n"}, "o")
	top := layerOf(t, map[string]string{"h!": "", "h2!": "", "d/": "", "gone!": ""})
	_, layers := open(t, top, middle, lowest)
	for i, want := range []Layer{
		{Bytes: 5 + 3 + 1 + 2 + 7 + 1 + 2, Added: 9},
		// a and o/f are changed, b, d/x, d/y and o/g are deleted, d and new are added.
		{Bytes: 3 + 10 + 1 + 1, Added: 2, Changed: 2, Deleted: 4, Wasted: 5 + 3 + 1 + 2 + 1 + 2},
		{Deleted: 3, Wasted: 7 + 10}, // two names of one file are wasted once
	} {
		if layers[i] != want {
			t.Errorf("layer %d: %+v, want %+v", i, layers[i], want)
		}
	}
}

func TestDiff(t *testing.T) {
	base := layerOf(t, map[string]string{"same": "s", "size": "1", "bytes": "1", "gone/x": "123", "l>": "a", "kind": "k", "mode": "m", "shared": "x", "attr": "a"})
	one := layerOf(t, map[string]string{"other": "o"})
	two := layerOf(t, map[string]string{"same": "s", "size": "11", "bytes": "2", "gone!": "", "l>": "b", "kind/z": "12", "mode": "m", "attr": "a"})
	for path, change := range map[string]func(string) error{
		"mode": func(at string) error { return os.Chmod(at, 0o4755) },
		"same": func(at string) error { return os.Chown(at, 5, 6) },
		"attr": func(at string) error { return sysx.LSetxattr(at, "user.x", []byte("y"), 0) },
	} {
		if err := change(filepath.Join(two, path)); err != nil {
			t.Fatal(err)
		}
	}
	a, _ := open(t, one, base)
	b, _ := open(t, two, base)
	var got []string
	err := Diff(context.Background(), a, b, func(d report.Difference) error {
		got = append(got, fmt.Sprint(d.Kind, " ", d.Path, " ", strings.Join(d.What, ","), " ", d.From, " ", d.To))
		return nil
	})
	want := `changed /attr attributes 1 1
changed /bytes content 1 1
deleted /gone  0 0
deleted /gone/x  3 0
changed /kind kind 1 0
added /kind/z  0 2
changed /l target 0 0
changed /mode mode 1 1
deleted /other  1 0
changed /same owner 1 1
changed /size content 1 2`
	if text := strings.Join(got, "\n"); err != nil || text != want {
		t.Errorf("%v\n%s\nwant\n%s", err, text, want)
	}
}

func TestPack(t *testing.T) {
	lowest := layerOf(t, map[string]string{"a": "old", "d/x": "1", "l>": "/etc/passwd", "h": "h", "h2=": "h", "é 中": "u"})
	top := layerOf(t, map[string]string{"a": "new", "d/x!": ""})
	tree, _ := open(t, top, lowest)
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := tree.Pack(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same tree gives other bytes")
	}
	var got []string
	for r := tar.NewReader(&first); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r)
		got = append(got, strings.TrimSpace(fmt.Sprintf("%c %s %s%s", h.Typeflag, h.Name, h.Linkname, text)))
	}
	want := "5 ./\n0 a new\n5 d/\n0 h h\n1 h2 h\n2 l /etc/passwd\n0 é 中 u"
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
}

// A link in a layer leads to nothing outside of it.
func TestLinksStayInside(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	lower := layerOf(t, map[string]string{"d/secret": "x"})
	upper := layerOf(t, map[string]string{"d>": outside, "f>": outside + "/secret"})
	tree, layers := open(t, upper, lower)
	if want := (Layer{Added: 2, Deleted: 1, Wasted: 1}); layers[1] != want {
		t.Errorf("%+v, want %+v", layers[1], want)
	}
	var b bytes.Buffer
	if err := tree.Pack(context.Background(), &b); err != nil || strings.Contains(b.String(), "secretsecret") {
		t.Errorf("%v", err)
	}
}
