package image

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestImport(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	plain := archiveOf(t, dir("bin", 0o755), reg("bin/sh", "shell").with(0o4755, 0), reg("etc/passwd", "root"))
	id, err := s.Import(ctx, bytes.NewReader(gzipped(t, plain)), "box", "", []string{"CMD [\"/bin/sh\"]", "ENV A=1 B=\"two words\"", "EXPOSE 80"}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"box", "box:latest", "docker.io/library/box", id.String(), id.Encoded(), id.Encoded()[:12]} {
		img, err := s.Get(ctx, ref)
		if err != nil {
			t.Fatalf("Get(%q): %v", ref, err)
		}
		if img.ID != id || !slices.Equal(img.Tags, []string{"box:latest"}) {
			t.Errorf("Get(%q) = %v %v", ref, img.ID, img.Tags)
		}
	}
	img, _ := s.Get(ctx, "box")
	if got := img.Config.Env; !slices.Equal(got, []string{"A=1", "B=two words"}) {
		t.Errorf("Env = %q", got)
	}
	img.Config.Env[0], img.Config.ExposedPorts = "A=changed", nil
	if img, _ = s.Get(ctx, "box"); img.Config.Env[0] != "A=1" || len(img.Config.ExposedPorts) != 1 {
		t.Errorf("a caller's change is seen: %v", img.Config)
	}
	if img.Bytes < 9 || len(img.LayerBytes) != 1 || img.LayerBytes[0] != img.Bytes {
		t.Errorf("Bytes = %d, of layers %d", img.Bytes, img.LayerBytes)
	}
	fs, err := s.PrepareRootfs(ctx, img, "c1")
	if err != nil {
		t.Fatal(err)
	}
	if len(fs.Lowers) != 1 {
		t.Fatalf("lowers %v", fs.Lowers)
	}
	want := "drwxr-xr-x bin 0:0\nurwxr-xr-x bin/sh 0:0 \"shell\"\ndrwxr-xr-x etc 0:0\n-rw-r--r-- etc/passwd 0:0 \"root\""
	if got := tree(t, fs.Lowers[0]); got != want {
		t.Errorf("layer:\n%s\nwant:\n%s", got, want)
	}
	again, err := s.Rootfs(ctx, "c1")
	if err != nil || !slices.Equal(again.Lowers, fs.Lowers) || again.Upper != fs.Upper {
		t.Errorf("Rootfs = %v, %v", again, err)
	}
	if _, err := s.PrepareRootfs(ctx, img, "c1"); !errdefs.IsAlreadyExists(err) {
		t.Errorf("second PrepareRootfs: %v", err)
	}
	for range 2 {
		if err := s.RemoveRootfs(ctx, "c1"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Rootfs(ctx, "c1"); !errdefs.IsNotFound(err) {
		t.Errorf("Rootfs after removal: %v", err)
	}
}

func TestImportRefusals(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	good := archiveOf(t, reg("a", strings.Repeat("1", 600)))
	for name, tc := range map[string]struct {
		body    []byte
		ref     string
		changes []string
		want    string
	}{
		"reserved name":  {good, "host", nil, `the name "host" is reserved`},
		"bad name":       {good, "UPPER", nil, "invalid reference format"},
		"bad change":     {good, "x", []string{"RUN true"}, "RUN is not a valid change command"},
		"truncated":      {good[:800], "x", nil, "unexpected EOF"},
		"truncated gzip": {gzipped(t, good)[:40], "x", nil, "unexpected EOF"},
		"no tar":         {bytes.Repeat([]byte("x"), 2048), "x", nil, "no tar archive"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Import(ctx, bytes.NewReader(tc.body), tc.ref, "", tc.changes, "")
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if blobs, layers, _ := owned(t, s); blobs != 0 || layers != 0 {
				t.Errorf("left %d blobs and %d layers", blobs, layers)
			}
		})
	}
}

func TestReopen(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	s, err := Open(ctx, Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(ctx, bytes.NewReader(archiveOf(t, reg("a", "1"))), "box", "", nil, ""); err != nil {
		t.Fatal(err)
	}
	img, _ := s.Get(ctx, "box")
	fs, err := s.PrepareRootfs(ctx, img, "c1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, Options{Root: root}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("second engine on the same root: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{"rootfs/.new/half", "images/blobs/sha256/" + strings.Repeat("a", 64), "snapshots/snapshots/new-1", "images/ingest/half/ref", "images/ingest/other/data"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(left)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, left), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s = openStore(t, root)
	settle(t, s)
	if got, err := s.Rootfs(ctx, "c1"); err != nil || !slices.Equal(got.Lowers, fs.Lowers) {
		t.Errorf("Rootfs after reopening: %v %v", got, err)
	}
	if _, err := s.Get(ctx, "box"); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(root, "images/ingest/*")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if blobs, layers, rootfs := owned(t, s); blobs != 3 || layers != 1 || rootfs != 1 {
		t.Errorf("after reopening: %d blobs, %d layers, %d rootfs", blobs, layers, rootfs)
	}
}
