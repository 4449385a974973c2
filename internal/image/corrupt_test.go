package image

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestCorruptDatabase(t *testing.T) {
	for _, name := range []string{"images.db", "snapshots/metadata.db"} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, bytes.Repeat([]byte("garbage "), 4096), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(context.Background(), Options{Root: root})
			if err == nil {
				s.Close()
				t.Fatal("opened garbage")
			}
			if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "invalid database") {
				t.Errorf("error %q", err)
			}
		})
	}
}

// An image whose blobs have gone says so, hinders no other one, and can be
// removed or loaded again.
func TestCorruptImage(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	archives := map[string][]byte{}
	s, err := Open(ctx, Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"good:1", "bad:1", "worse:1"} {
		archives[name] = dockerArchive(t, name, archiveOf(t, reg("a", name)))
		if _, err := s.Load(ctx, bytes.NewReader(archives[name]), nil); err != nil {
			t.Fatal(err)
		}
	}
	bad, _ := s.Get(ctx, "bad:1")
	worse, _ := s.Get(ctx, "worse:1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.depot.BlobPath(bad.ID)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.depot.BlobPath(worse.Target.Digest), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, root)
	for name, want := range map[string]string{"good:1": "", "bad:1": "remove it and pull it again", "worse:1": "remove it and pull it again"} {
		_, err := s.Get(ctx, name)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Get(%s) = %v", name, err)
		}
		if want == "" {
			continue
		}
		if _, err := s.Remove(ctx, name, false, func(digest.Digest) string { return "" }); err != nil {
			t.Errorf("Remove(%s) = %v", name, err)
		}
		settle(t, s)
		if _, err := s.Load(ctx, bytes.NewReader(archives[name]), nil); err != nil {
			t.Errorf("Load(%s) again = %v", name, err)
		}
	}
}
