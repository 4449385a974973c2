package conformance

import (
	"testing"
)

func TestLifecycle(t *testing.T) {
	b := newBundle(t, "/probe", "hold")
	b.spec.Annotations = map[string]string{"com.example.key": "value", "org.example.empty": ""}
	r := b.create()
	if s := b.stateOf(); s.Status != "created" || s.Pid == 0 || s.Bundle != b.dir || s.ID != b.id || s.Annotations["com.example.key"] != "value" || s.Version == "" {
		t.Errorf("after create the state is %+v", s)
	}
	if out := read(r.outFile); out != "" {
		t.Errorf("the program ran before start: %q", out)
	}
	b.refused("does not exist", "delete", b.id+"x")
	b.ok("start", b.id)
	if got := b.report(b.line(r)); got.Pid != 1 {
		t.Errorf("the program is process %d, want 1", got.Pid)
	}
	if s := b.stateOf(); s.Status != "running" {
		t.Errorf("after start the state is %+v", s)
	}
	b.refused("running", "start", b.id)
	b.refused("running|not stopped", "delete", b.id)
	b.stopped("TERM")
	b.refused("stopped|not running", "kill", b.id, "TERM")
	b.refused("stopped", "start", b.id)
	b.ok("delete", b.id)
	b.refused("does not exist", "state", b.id)
}

func TestVersion(t *testing.T) {
	for version, good := range map[string]bool{"1.0.0": true, "1.3.0": true, "1.2.1-dev": true, "2.0.0": false, "one": false, "": false} {
		b := newBundle(t)
		b.spec.Version = version
		if !good {
			b.fails("ociVersion|version")
		} else if r := b.run(); r.code != 0 {
			t.Errorf("version %q is refused: %s", version, r.err)
		}
	}
}
