package conformance

import (
	"slices"
	"testing"
)

func TestProcessBasics(t *testing.T) {
	b := newBundle(t, "/probe", "one", "two words")
	b.spec.Process.Cwd = "/tmp"
	b.spec.Process.Env = []string{"PATH=/bin:/", "A=b c", "EMPTY="}
	r := b.looks()
	if want := []string{"/probe", "one", "two words"}; !slices.Equal(r.Args, want) {
		t.Errorf("arguments %q, want %q", r.Args, want)
	}
	if r.Cwd != "/tmp" {
		t.Errorf("working directory %q, want /tmp", r.Cwd)
	}
	for name, want := range map[string]string{"A": "b c", "EMPTY": "", "PATH": "/bin:/"} {
		if got, ok := r.Getenv(name); !ok || got != want {
			t.Errorf("$%s is %q, want %q", name, got, want)
		}
	}
}

func TestLifecycle(t *testing.T) {
	b := newBundle(t, "/probe", "hold")
	r := b.create()
	if s := b.stateOf(); s.Status != "created" || s.Pid == 0 || s.Bundle != b.dir || s.ID != b.id {
		t.Errorf("after create the state is %+v", s)
	}
	if out := read(r.outFile); out != "" {
		t.Errorf("the program ran before start: %q", out)
	}
	b.ok("start", b.id)
	if got := b.report(b.line(r)); got.Pid != 1 {
		t.Errorf("the program is process %d, want 1", got.Pid)
	}
	if s := b.stateOf(); s.Status != "running" {
		t.Errorf("after start the state is %+v", s)
	}
	b.stopped("TERM")
	b.ok("delete", b.id)
	b.refused("does not exist", "state", b.id)
}
