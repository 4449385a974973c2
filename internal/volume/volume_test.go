package volume

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func open(t *testing.T, root string) *Store {
	t.Helper()
	s, err := Open(root, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLife(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	v, created, err := s.Acquire(Request{Name: "data", Labels: map[string]string{"a": "b"}}, "c1")
	if err != nil || !created || v.Path != filepath.Join(root, "data", "_data") {
		t.Fatal(v, created, err)
	}
	if err := os.WriteFile(filepath.Join(v.Path, "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, created, err = s.Create(Request{Name: "data"}); err != nil || created {
		t.Fatal("made twice", err)
	}
	err = s.Remove("data")
	if !errdefs.IsConflict(err) || err.Error() != "remove data: volume is in use - [c1]" {
		t.Fatal(err)
	}

	s = open(t, root) // a new engine: users are told anew
	if v, err = s.Get("data"); err != nil || v.Labels["a"] != "b" || v.Created.IsZero() {
		t.Fatal(v, err)
	}
	if err := s.Remove("data"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("data"); !errdefs.IsNotFound(err) || err.Error() != "get data: no such volume" {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 0 {
		t.Fatal(entries, err)
	}
}

func TestNames(t *testing.T) {
	s := open(t, t.TempDir())
	for _, name := range []string{"", "a", "../x", "a/b", ".hidden", "-x", strings.Repeat("x", 256)} {
		if _, _, err := s.Create(Request{Name: name}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"ab", "A_b.c-1", strings.Repeat("f", 64)} {
		if _, _, err := s.Create(Request{Name: name}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// What a crash can leave is taken away; data never is.
func TestOpenAfterCrash(t *testing.T) {
	root := t.TempDir()
	for _, path := range []string{"empty/_data", "full/_data/x", "torn/_data/x", ".removing-1/old/_data/x"} {
		if err := os.MkdirAll(filepath.Join(root, path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "torn", "volume.json"), []byte(`{"name":"to`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, root)
	var names []string
	for _, v := range s.List() {
		names = append(names, v.Name)
		if v.Created.IsZero() {
			t.Error(v.Name, "has no time")
		}
	}
	if strings.Join(names, " ") != "full torn" {
		t.Fatal(names)
	}
	if _, err := os.Stat(filepath.Join(root, ".removing-1")); !os.IsNotExist(err) {
		t.Fatal(err)
	}
}
