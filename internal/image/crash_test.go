package image

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/distribution/registrytest"
	"github.com/opencontainers/go-digest"
)

const crashRoot, crashRef = "BERTH_TEST_CRASH_ROOT", "BERTH_TEST_CRASH_REF"

// TestCrashChild is the process that TestCrash kills.
func TestCrashChild(t *testing.T) {
	root := os.Getenv(crashRoot)
	if root == "" {
		t.Skip("only as TestCrash's child")
	}
	s := openStore(t, root)
	_, err := s.Pull(context.Background(), os.Getenv(crashRef), "linux/amd64", Credentials{}, nil)
	t.Log(err)
}

// An engine that is killed in the middle of a pull leaves nothing visible; the
// next one goes on where it stopped.
func TestCrash(t *testing.T) {
	t.Run("the part is kept", func(t *testing.T) { testCrash(t, "nothing") })
	t.Run("the part is lost", func(t *testing.T) { testCrash(t, "images/ingest/*") })
	t.Run("the part's times are lost", func(t *testing.T) { testCrash(t, "images/ingest/*/startedat") })
}

func testCrash(t *testing.T, lost string) {
	ctx := context.Background()
	r := registrytest.New(t, registrytest.Hang)
	serve(t, r, "app", "latest", archiveOf(t, reg("small", "x")), noise(t, 1, 2_000_000))
	root, ref := t.TempDir(), r.Host()+"/app"
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), crashRoot+"="+root, crashRef+"="+ref)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "half of the layer", func() bool {
		parts, _ := filepath.Glob(filepath.Join(root, "images/ingest/*/data"))
		for _, p := range parts {
			if info, err := os.Stat(p); err == nil && info.Size() > 500_000 {
				return true
			}
		}
		return false
	})
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait() //nolint:errcheck // it was killed

	matches, err := filepath.Glob(filepath.Join(root, lost))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range matches {
		if err := os.RemoveAll(m); err != nil {
			t.Fatal(err)
		}
	}
	s := openStore(t, root)
	settle(t, s)
	if list, _ := s.List(ctx); len(list) != 1 {
		t.Errorf("visible after the crash: %v", list)
	}
	// Manifest, configuration and the small layer are whole.
	if blobs, layers, _ := owned(t, s); blobs < 2 || blobs > 3 || layers != 0 {
		t.Errorf("%d blobs and %d layers after the crash", blobs, layers)
	}
	r.Set(registrytest.OK)
	img, err := s.Pull(ctx, ref, "linux/amd64", Credentials{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Served("RANGE", "/blobs/") == 0 && len(matches) == 0 {
		t.Error("the pull did not go on where it stopped")
	}
	fs, err := s.PrepareRootfs(ctx, img, "c")
	if err != nil {
		t.Fatal(err)
	}
	if got := tree(t, fs.Lowers[0]); got != `-rw-r--r-- noise 0:0 "2000000 bytes"` {
		t.Errorf("layer:\n%s", got)
	}
}

// await polls for what another process does; only its end is bounded.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within a minute", what)
		}
		<-tick.C
	}
}

// A crash between a layer's directory and its record does not make its number
// unusable.
func TestStrayLayer(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	s := openStore(t, root)
	if _, err := s.Load(ctx, bytes.NewReader(dockerArchive(t, "a:1", archiveOf(t, reg("a", "x")))), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		if err := os.MkdirAll(filepath.Join(root, "snapshots/snapshots", strconv.Itoa(n), "fs"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s = openStore(t, root)
	if _, err := s.Load(ctx, bytes.NewReader(dockerArchive(t, "b:1", archiveOf(t, reg("b", "x")))), nil); err != nil {
		t.Fatal(err)
	}
	settle(t, s)
	if _, layers, _ := owned(t, s); layers != 2 {
		t.Errorf("%d layers on disk, want 2", layers)
	}
}

// A crash between a blob and its record does not lose what a pull has fetched.
func TestStrayBlob(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	s := openStore(t, root)
	fetched, torn, other := []byte("fetched"), []byte("torn"), []byte("nobody's")
	leased, _, err := s.depot.LeasePull(s.depot.Scope(ctx), "a:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{fetched, torn} {
		if here, err := s.depot.HoldBlob(leased, digest.FromBytes(b)); here || err != nil {
			t.Fatal(here, err)
		}
	}
	paths := map[string]string{}
	for _, b := range [][]byte{fetched, torn, other} {
		paths[string(b)] = s.depot.BlobPath(digest.FromBytes(b))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for text, path := range paths {
		if text == string(torn) {
			text = text[1:]
		}
		if err := os.WriteFile(path, []byte(text), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	s = openStore(t, root)
	settle(t, s)
	for text, path := range paths {
		_, err := os.Stat(path)
		if kept := err == nil; kept != (text == string(fetched)) {
			t.Errorf("blob %q is kept: %v", text, kept)
		}
	}
	if here, err := s.depot.HoldBlob(s.depot.Scope(ctx), digest.FromBytes(fetched)); !here || err != nil {
		t.Errorf("the blob that was fetched: %v, %v", here, err)
	}
}
