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
