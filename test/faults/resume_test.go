package faults

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// However often a pull is broken off, by the death of the engine, of the
// registry or of the network, it ends complete, and little comes twice.
func TestPullKilledOften(t *testing.T) {
	const kills = 50
	e := harness.New(t)
	registry := harness.KillableRegistry(t)
	total := fiveLayers(t, e, registry.Addr, "big:1", 12<<20)
	f := newFront(t, registry.Addr)
	ref := f.Host + "/big:1"
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	breaks := map[string]func(){
		"engine":   func() { e.Kill(); e.Start() },
		"registry": func() { registry.Kill(); f.server.CloseClientConnections(); registry.Start() },
		"network":  func() { f.server.CloseClientConnections() },
	}
	next := func() <-chan struct{} { return f.hold(random.Int64N(total * 16 / 10 / kills)) }
	silent := next()
	ended := pull(t, e, ref)
	for n := range kills {
		for waiting := true; waiting; {
			select {
			case <-silent:
				waiting = false
			case err := <-ended:
				if err == nil {
					t.Fatalf("the pull succeeds before kill %d", n)
				}
				ended = pull(t, e, ref) // it gave up, or its engine is another one
			}
		}
		silent = next()
		breaks[[]string{"engine", "registry", "network"}[n%3]]()
		if strings.Contains(e.OK("images"), "big") {
			t.Fatalf("kill %d: an image appeared", n)
		}
	}
	f.release()
	f.server.CloseClientConnections() // those that are silent
	<-ended
	e.OK("pull", "-q", ref)
	valid(t, e, ref)
	sent := f.total.Load()
	t.Logf("%d bytes sent for an image of %d: %.3f", sent, total, float64(sent)/float64(total))
	if sent > total*12/10 {
		t.Errorf("%d bytes were sent for an image of %d", sent, total)
	}
	shrunk(t, e, 2*total)
	if left, _ := filepath.Glob(filepath.Join(e.DataRoot, "images/ingest/*")); len(left) > 0 {
		t.Errorf("partial blobs are left: %v", left)
	}
	e.OK("rmi", ref)
	shrunk(t, e, 0)
}

// On a full disk a pull first takes what other broken pulls have left, and one
// that does not fit even so leaves nothing.
func TestPullOnFullDisk(t *testing.T) {
	e := harness.New(t)
	registry := harness.Registry(t)
	first := fiveLayers(t, e, registry, "first:1", 3<<20)
	fits := fiveLayers(t, e, registry, "fits:1", 5<<19)
	fiveLayers(t, e, registry, "large:1", 5<<20)
	e.Stop()
	e.DataRoot = filepath.Join(disk, t.Name())
	e.Start()
	f := newFront(t, registry)
	silent := f.hold(first * 9 / 10)
	broken := e.Command("berth", "pull", "-q", f.Host+"/first:1")
	if err := broken.Start(); err != nil {
		t.Fatal(err)
	}
	<-silent
	arrived(t, e, first*8/10)
	if err := broken.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = broken.Wait()
	f.release()
	ballast := filepath.Join(disk, "ballast")
	harness.Eventually(t, "the layers of the broken pull to go", func() bool { return sizeOf(filepath.Join(e.DataRoot, "snapshots/snapshots")) == 0 })
	leave(t, ballast, 2*fits-4<<20) // packed and unpacked, it just does not fit
	e.OK("pull", "-q", f.Host+"/fits:1")
	e.OK("rmi", f.Host+"/fits:1")
	r := e.Berth("pull", "-q", f.Host+"/large:1")
	if line := strings.TrimSpace(r.Err); r.Code == 0 || !strings.Contains(line, "no space left on device") || strings.Contains(line, "\n") {
		t.Errorf("pull of what does not fit: %d %q", r.Code, r.Err)
	}
	shrunk(t, e, 0)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	e.OK("pull", "-q", f.Host+"/first:1")
	valid(t, e, f.Host+"/first:1")
}

// leave fills the small disk but for so many bytes.
func leave(t *testing.T, path string, bytes int64) {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	free := int64(st.Bavail) * st.Bsize
	if free < bytes {
		t.Fatalf("%d bytes are free on the small disk, not %d", free, bytes)
	}
	if err := os.WriteFile(path, make([]byte, free-bytes), 0o600); err != nil {
		t.Fatal(err)
	}
}

// pull starts a pull; its end comes through the channel.
func pull(t *testing.T, e *harness.Engine, ref string) <-chan error {
	t.Helper()
	cmd := e.Command("berth", "pull", "-q", ref)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return ended
}
