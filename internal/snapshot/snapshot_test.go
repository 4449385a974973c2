package snapshot

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
)

func open(t *testing.T, root string) *Writable {
	t.Helper()
	w, err := Open(root, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWritable(t *testing.T) {
	root := t.TempDir()
	w := open(t, root)
	l, err := w.Create("a", "sha256:1")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(l.Upper); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("upper: %v %v", info, err)
	}
	if got, err := w.Get("a"); err != nil || got != l {
		t.Errorf("Get = %v, %v; want %v", got, err, l)
	}
	if _, err := w.Create("a", "x"); !errdefs.IsAlreadyExists(err) {
		t.Errorf("second Create: %v", err)
	}
	for _, key := range []string{"", "..", ".gone", "a/b", "../a"} {
		if _, err := w.Create(key, "x"); !errdefs.IsInvalidArgument(err) {
			t.Errorf("Create(%q): %v", key, err)
		}
	}
	if keys, err := w.Keys(); err != nil || !slices.Equal(keys, []string{"a"}) {
		t.Errorf("Keys = %v, %v", keys, err)
	}
	for range 2 {
		if err := w.Remove("a"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Get("a"); !errdefs.IsNotFound(err) {
		t.Errorf("Get after Remove: %v", err)
	}
	if _, err := w.Create("a", "x"); err != nil {
		t.Errorf("the key is not free again: %v", err)
	}
	w.Close()
	if left, _ := os.ReadDir(filepath.Join(root, ".gone")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// Whatever step a crash comes at, Open leaves whole layers and nothing else.
func TestAfterCrash(t *testing.T) {
	root := t.TempDir()
	w := open(t, root)
	if _, err := w.Create("whole", "x"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for _, dir := range []string{".new/half/fs", ".gone/going-1-1/fs/deep", ".gone/left-.gone-1-0"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w = open(t, root)
	if _, err := w.Create("half", "x"); err != nil {
		t.Errorf("a half-made layer is in the way: %v", err)
	}
	w.Close()
	for _, dir := range []string{".new", ".gone"} {
		if left, _ := os.ReadDir(filepath.Join(root, dir)); len(left) != 0 {
			t.Errorf("left in %s: %v", dir, left)
		}
	}
	if _, err := open(t, root).Get("whole"); err != nil {
		t.Error(err)
	}
}
