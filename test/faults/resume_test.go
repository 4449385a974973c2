package faults

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
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
	broken := map[string]func(){
		"engine":   func() { e.Kill(); e.Start() },
		"registry": func() { registry.Kill(); f.server.CloseClientConnections() },
		"network":  func() { f.set(status(503, "")); f.server.CloseClientConnections() },
	}
	for n := range kills {
		what := []string{"engine", "registry", "network"}[n%3]
		silent := f.hold(random.Int64N(total * 16 / 10 / kills))
		pull := e.Command("berth", "pull", "-q", ref)
		if err := pull.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- pull.Wait() }()
		select {
		case <-silent:
		case err := <-ended:
			t.Fatalf("the pull ended before kill %d: %v", n, err)
		}
		broken[what]()
		if err := <-ended; err == nil {
			t.Errorf("kill %d: the pull succeeds without its %s", n, what)
		}
		if what == "registry" {
			registry.Start()
		}
		f.set(nil)
		if strings.Contains(e.OK("images"), "big") {
			t.Fatalf("kill %d: an image appeared", n)
		}
	}
	f.release()
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
